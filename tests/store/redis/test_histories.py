"""
The functions beside a model of them, over random histories.

A history is any order of what clients, workers, workers thought dead, and the reaper do. After
each step the store must be what the model says: nothing lost, nothing twice, every index true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import redis
from _pytest.outcomes import Failed
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import ResponseError

from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import Row
from store.redis import keys
from store.redis.constants import MAX_CRASHES
from store.redis.functions import Fenced, Gap, ReplayDiffers, send
from store.redis.library import library
from store.redis.server import prepare
from tests.support.store.protocol import (
    append,
    claim,
    hello,
    history,
    marks_of,
    reap,
    record_of,
    rows_of,
    run_out,
    submit,
)

STEPS = 10
TENANTS = ("local", "other")
WORKERS = ("w1", "w2", "w3")
STRENGTH = {"": 0, "pause": 1, "cancel": 2, "kill": 3}


def row(number: int, step: int) -> Row:
    """The row that any attempt at job *number* computes for *step*."""
    return (number + step / 10, 1 / (1 + number + step))


@dataclass
class Model:
    """A job as it should be."""

    id: str
    tenant: str
    number: int
    priority: int
    limited: bool
    over: bool = False
    gone: bool = False
    archived: bool = False
    state: State = State.QUEUED
    request: str = ""
    held: Claim | None = None
    last: Claim | None = None
    worker: str = ""
    rows: int = 0
    checkpoint: int = 0
    claim_checkpoint: int = 0
    crashes: int = 0
    events: int = 1
    moved: int = 0

    def leaves(self, state: State) -> None:
        """Go from running to *state*."""
        self.last, self.held, self.over = self.held, None, False
        self.state, self.request, self.events = state, "", self.events + 1

    @property
    def wish(self) -> str:
        """What its worker is told to do."""
        return self.request or ("timeout" if self.over else "")

    def taken_back(self, *, crashed: bool) -> None:
        """Lose its worker."""
        if self.checkpoint > self.claim_checkpoint:
            self.crashes = 0
        if self.request in ("cancel", "kill"):
            return self.leaves(State.CANCELLED)
        if self.request == "pause":
            return self.leaves(State.PAUSED)
        if self.over:
            return self.leaves(State.FAILED)
        self.crashes += crashed
        self.leaves(State.FAILED if self.crashes >= MAX_CRASHES else State.QUEUED)
        return None


class Histories(RuleBasedStateMachine):
    """One history."""

    client: ClassVar[redis.Redis]
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.jobs: dict[str, Model] = {}
        self.tokens = 0

    @rule(
        tenant=st.sampled_from(TENANTS),
        priority=st.integers(0, 2),
        limited=st.booleans(),
        again=st.booleans(),
    )
    def submits(self, tenant: str, priority: int, limited: bool, again: bool) -> None:
        key = f"key {len(self.jobs)}"
        words: dict[str, Any] = {"priority": priority, "time_limit_s": 9e8 if limited else None}
        job_id = submit(self.client, tenant=tenant, key=key, **words)
        self.jobs[job_id] = Model(job_id, tenant, len(self.jobs), priority, limited)
        if again:  # the answer was lost
            assert submit(self.client, tenant=tenant, key=key, **words) == job_id

    @precondition(lambda self: self._there())
    @rule(data=st.data(), action=st.sampled_from(["cancel", "kill", "pause", "resume"]))
    def asks(self, data: st.DataObject, action: Any) -> None:
        job = self._any(data)
        send(self.client, calls.ask(job.tenant, job.id, action))
        waits = job.state in (State.QUEUED, State.PAUSED)
        if job.state is State.RUNNING and action == "resume":
            if job.request == "pause":
                job.request, job.events = "", job.events + 1
        elif job.state is State.RUNNING:
            if STRENGTH[action] > STRENGTH[job.request]:
                job.request, job.events = action, job.events + 1
        elif waits and action in ("cancel", "kill"):
            job.state, job.events = State.CANCELLED, job.events + 1
        elif (job.state, action) == (State.QUEUED, "pause"):
            job.state, job.events = State.PAUSED, job.events + 1
        elif (job.state, action) == (State.PAUSED, "resume"):
            job.state, job.events = State.QUEUED, job.events + 1

    @precondition(lambda self: any(job.state is State.QUEUED for job in self.jobs.values()))
    @rule(data=st.data())
    def asks_for_its_place(self, data: st.DataObject) -> None:
        job = self._any(data, lambda job: job.state is State.QUEUED)
        for worker in WORKERS:  # all of them may take any of the jobs
            hello(self.client, worker)

        found = send(self.client, calls.look(job.tenant, job.id))

        assert found is not None
        assert found.job().queue_position == self._order().index(job)

    @rule(target=attempts, worker=st.sampled_from(WORKERS), again=st.booleans())
    def claims(self, worker: str, again: bool) -> Any:
        wanted = self._best()
        self.tokens += 1
        token = f"t{self.tokens}"
        found = claim(self.client, token, worker=worker)
        if wanted is None:
            assert found is None
            return multiple()
        assert found is not None
        assert found.id == wanted.id
        if again:  # the answer was lost: the same job, not another one
            repeated = claim(self.client, token, worker=worker)
            assert repeated is not None
            assert repeated.id == wanted.id
        held = Claim(wanted.tenant, wanted.id, token)
        send(self.client, calls.begun(held, fingerprint="f1", facts={}))
        wanted.state, wanted.held, wanted.worker = State.RUNNING, held, worker
        wanted.claim_checkpoint, wanted.events = wanted.checkpoint, wanted.events + 1
        return held

    @rule(held=attempts, back=st.integers(0, 4), count=st.integers(1, 4), lie=st.booleans())
    def appends(self, held: Claim, back: int, count: int, lie: bool) -> None:
        job = self.jobs[held.job_id]
        first = max(0, job.rows - back)
        count = min(count, STEPS - first)
        rows = [row(job.number, first + i) for i in range(count)]
        if not count:
            return
        if lie and back and first < job.rows:
            rows[0] = (rows[0][0], rows[0][1] + 2**-40)

        def work() -> str:
            return append(self.client, held, first, rows)

        if self._is_zombie(held):
            return self._fenced(work)
        if lie and back and first < job.rows:
            with pytest.raises(ReplayDiffers):
                work()
            return None
        for _ in range(2):  # a lost answer: the same call again
            assert work() == job.wish
        job.rows = max(job.rows, first + count)
        return None

    @rule(held=attempts, beyond=st.integers(1, 3))
    def leaves_a_gap(self, held: Claim, beyond: int) -> None:
        job = self.jobs[held.job_id]
        ahead = job.rows + beyond

        def work() -> str:
            return append(self.client, held, ahead, [row(job.number, ahead)])

        if self._is_zombie(held):
            return self._fenced(work)
        with pytest.raises(Gap) as caught:
            work()
        assert str(job.rows) in str(caught.value)
        return None

    @rule(held=attempts, behind=st.integers(0, 3))
    def saves(self, held: Claim, behind: int) -> None:
        job = self.jobs[held.job_id]
        step = max(0, job.rows - behind)
        call = calls.checkpointed(held, step=step, path=f"p{step}", sha256="s", digest="d")
        if self._is_zombie(held):
            return self._fenced(lambda: send(self.client, call))
        for _ in range(2):
            send(self.client, call)
        if step > job.checkpoint:
            job.checkpoint, job.events = step, job.events + 1
        return None

    @rule(held=attempts)
    def finishes(self, held: Claim) -> None:
        job = self.jobs[held.job_id]
        call = calls.finish(held, rows=STEPS, digest="d", result={}, artifacts={})
        if self._is_zombie(held):
            return self._fenced_unless_last(held, call)
        if job.rows < STEPS:
            with pytest.raises(Gap):
                send(self.client, call)
            return None
        for _ in range(2):
            send(self.client, call)
        job.leaves(State.SUCCEEDED)
        return None

    @rule(held=attempts, crashed=st.booleans())
    def releases(self, held: Claim, crashed: bool) -> None:
        call = calls.release(held, why="history", cause="crashed" if crashed else "left")
        if self._is_zombie(held):
            return self._fenced_unless_last(held, call)
        job = self.jobs[held.job_id]
        job.taken_back(crashed=crashed)
        assert send(self.client, call).state == job.state
        return None

    @rule(held=attempts)
    def fails(self, held: Claim) -> None:
        call = calls.fail(held, reason="error", detail="history")
        if self._is_zombie(held):
            return self._fenced_unless_last(held, call)
        send(self.client, call)
        self.jobs[held.job_id].leaves(State.FAILED)
        return None

    @rule(held=attempts)
    def renews(self, held: Claim) -> None:
        call = calls.renew(held, lease_ms=30_000)
        if self._is_zombie(held):
            return self._fenced(lambda: send(self.client, call))
        assert send(self.client, call) == self.jobs[held.job_id].wish
        return None

    @precondition(lambda self: any(job.held for job in self.jobs.values()))
    @rule(data=st.data())
    def a_lease_runs_out(self, data: st.DataObject) -> None:
        """The worker goes on without knowing: what it says from now on is a zombie's."""
        job = self._any(data, lambda job: job.held is not None)
        self.client.zadd(keys.LEASES, {f"{job.tenant}/{job.id}": 1})
        assert reap(self.client).jobs == [f"{job.tenant}/{job.id}"]
        assert reap(self.client).jobs == []
        job.taken_back(crashed=True)

    @precondition(lambda self: any(job.held and job.limited for job in self.jobs.values()))
    @rule(data=st.data(), ends=st.booleans())
    def the_time_of_a_job_is_over(self, data: st.DataObject, ends: bool) -> None:
        """Its worker is told, and, if it does not heed that, the job is taken away."""
        job = self._any(data, lambda job: job.held is not None and job.limited)
        run_out(self.client, job.id, job.tenant)
        job.over = True
        if not ends:
            assert reap(self.client).overtime == []
            return
        late = [other for other in self.jobs.values() if other.over]
        found = reap(self.client, overtime_ms=0).overtime
        assert sorted(found) == sorted(f"{other.tenant}/{other.id}" for other in late)
        for other in late:
            other.taken_back(crashed=False)

    @precondition(lambda self: any(job.state.final for job in self._there()))
    @rule(data=st.data(), rows=st.integers(-1, 1), again=st.booleans())
    def rows_are_moved_to_a_file(self, data: st.DataObject, rows: int, again: bool) -> None:
        """Only all of them, once, and never anything of a job that has not ended."""
        job = self._any(data)
        files = {"rows": {"path": f"a{rows}", "sha256": "s", "size": 1}} if job.rows else {}
        call = calls.archived(
            job.tenant, job.id, rows=job.rows + rows, entries=job.events, files=files
        )

        outcome = send(self.client, call)

        if job.archived:
            assert outcome in ("ok", "already")
        elif rows or not job.state.final:
            assert outcome == "differs"
        else:
            assert outcome == "ok"
            job.archived = True
        if again:  # the answer was lost
            assert send(self.client, call) == outcome

    @precondition(lambda self: self._there())
    @rule(data=st.data(), count=st.integers(1, 3), behind=st.booleans(), again=st.booleans())
    def old_entries_are_moved_to_a_file(
        self, data: st.DataObject, count: int, behind: bool, again: bool
    ) -> None:
        """The first ones there are, of a job that is not put away as a whole."""
        job = self._any(data)
        moved = job.moved - behind
        call = calls.history_moved(
            job.tenant,
            job.id,
            moved=moved,
            count=count,
            files=f"[{job.moved + count}]",
            evaluated=[],
        )

        outcome = send(self.client, call)

        if job.archived or behind or job.events - job.moved < count:
            assert outcome == "differs"
            return
        assert outcome == "ok"
        job.moved += count
        if again:  # the answer was lost
            assert send(self.client, call) == "already"

    @rule(kept=st.integers(0, 2))
    def old_ones_are_removed(self, kept: int) -> None:
        """Only those that have ended, the first that did so first, and all of them or nothing."""
        ended: Any = self.client.zrange(keys.ENDED, 0, -1)
        call = calls.expire(limit=100, max_age_ms=None, max_jobs=kept, max_bytes=None)

        removed = send(self.client, call)

        assert removed == [member.decode() for member in ended[: max(0, len(ended) - kept)]]
        for member in removed:
            job = self.jobs[member.partition("/")[2]]
            assert job.state.final
            job.gone, job.last = True, None
            assert not list(self.client.scan_iter(f"*{job.id}*", count=1000))
            assert send(self.client, calls.look(job.tenant, job.id)) is None

    @invariant()
    def the_store_is_what_the_model_says(self) -> None:
        for job in self._there():
            record = record_of(self.client, job.id, job.tenant)
            assert record.state is job.state
            assert record.fields["request"] == job.request
            assert record.rows == job.rows
            assert int(record.fields["checkpoint_step"]) == job.checkpoint
            assert int(record.fields["rev"]) == job.events
            assert ("ended" in record.fields) == job.state.final
            if not job.state.final:
                assert int(record.fields["crashes"]) == job.crashes
            assert record.fields["token"] == (job.held.token if job.held else "")
            stored = rows_of(self.client, job.id, job.tenant)
            there = 0 if job.archived else job.rows
            assert stored == [row(job.number, step) for step in range(there)]
            marks = marks_of(self.client, job.id, job.tenant)
            assert marks == sorted(marks)
            assert [rows for rows, _ in marks][-1:] == [there] * (there > 0)

    @invariant()
    def every_index_is_true(self) -> None:
        for tenant in TENANTS:
            mine = [job for job in self._there() if job.tenant == tenant]
            found = self.client.zrange(keys.JOBS % tenant, 0, -1)
            assert _set(found) == {job.id for job in mine}
            for state in State:
                found = self.client.zrange(keys.JOBS_IN_STATE % (tenant, state), 0, -1)
                assert _set(found) == {job.id for job in mine if job.state is state}
            pending = set().union(
                *(
                    _set(self.client.zrange(key, 0, -1))
                    for key in self.client.scan_iter(keys.PENDING % ("*", tenant))
                )
            )
            assert pending == {job.id for job in mine if job.state is State.QUEUED}
        leases = _set(self.client.zrange(keys.LEASES, 0, -1))
        running = [job for job in self.jobs.values() if job.state is State.RUNNING]
        assert leases == {f"{job.tenant}/{job.id}" for job in running}
        ended = _set(self.client.zrange(keys.ENDED, 0, -1))
        over = [job for job in self._there() if job.state.final]
        assert ended == {f"{job.tenant}/{job.id}" for job in over}
        waiting = _set(self.client.zrange(keys.UNARCHIVED, 0, -1))
        assert waiting == {f"{job.tenant}/{job.id}" for job in over if not job.archived}
        deadlines = _set(self.client.zrange(keys.DEADLINES, 0, -1))
        assert deadlines == {f"{job.tenant}/{job.id}" for job in running if job.limited}

    @invariant()
    def every_worker_is_in_its_class_and_no_other(self) -> None:
        found = [
            (worker, state)
            for state in ("idle", "busy", "unwell")
            for worker in _list(self.client.zrange(keys.CLASS % (state, "cpu/f1"), 0, -1))
        ]
        workers: Any = self.client.zrange(keys.WORKERS, 0, -1)
        states = [self.client.hget(keys.WORKER % worker.decode(), "state") for worker in workers]
        wanted = zip(_list(workers), _list(states), strict=True)
        assert sorted(found) == sorted(wanted)

    @invariant()
    def what_is_counted_adds_up(self) -> None:
        found = send(self.client, calls.monitored())
        states = [job.state for job in self._there()]
        assert {s: n for s, n in found.jobs.items() if n} == Counter(map(str, states))
        assert sum(found.queued.values()) == states.count(State.QUEUED)
        assert (found.oldest_ms is not None) == (State.QUEUED in states)
        assert (found.lease_ms is not None) == (State.RUNNING in states)
        counted = found.counters
        ended = sum(n for name, n in counted.items() if name.startswith("ended:"))
        waits = sum(n for name, n in counted.items() if name.startswith("waits:"))
        assert counted.get("attempts", 0) == waits == ended + states.count(State.RUNNING)
        assert counted.get("steps", 0) >= sum(job.rows for job in self._there())

    @invariant()
    def histories_have_no_holes(self) -> None:
        for job in self._there():
            entries = history(self.client, job.id, job.tenant)
            assert len(entries) == job.events - job.moved
            assert all(entry["data"] is not None for entry in entries)

    def _any(self, data: st.DataObject, among: Callable[[Model], bool] = lambda job: True) -> Model:
        return data.draw(st.sampled_from([job for job in self._there() if among(job)]))

    def _there(self) -> list[Model]:
        return [job for job in self.jobs.values() if not job.gone]

    def _best(self) -> Model | None:
        """The job a worker should get."""
        return next(iter(self._order()), None)

    def _order(self) -> list[Model]:
        """All that wait, as workers should take them: by priority, tenant's share, age."""
        waiting = [job for job in self.jobs.values() if job.state is State.QUEUED]
        share = {
            tenant: sum(
                job.state is State.RUNNING and job.tenant == tenant for job in self.jobs.values()
            )
            for tenant in TENANTS
        }

        def rank(job: Model) -> tuple[int, int, int]:
            return (-job.priority, share[job.tenant], job.number)

        found = []
        while waiting:
            found.append(min(waiting, key=rank))
            waiting.remove(found[-1])
            share[found[-1].tenant] += 1
        return found

    def _is_zombie(self, held: Claim) -> bool:
        return self.jobs[held.job_id].held != held

    def _fenced(self, work: Callable[[], object]) -> None:
        with pytest.raises(Fenced):
            work()

    def _fenced_unless_last(self, held: Claim, call: Any) -> None:
        """An ending that is said again, its answer lost, is no error, and changes nothing."""
        if self.jobs[held.job_id].last == held:
            send(self.client, call)
        else:
            self._fenced(lambda: send(self.client, call))


def _set(values: Any) -> set[str]:
    return set(_list(values))


def _list(values: Any) -> list[str]:
    return [value.decode() for value in values]


MUTANTS = {
    "no token is looked at": (
        "return state == STATE.running and token ~= '' and current == token",
        "return state == STATE.running",
    ),
    "a gap is written over": ("if first > rows then return {'gap', rows} end", ""),
    "replayed rows are not compared": ("if differs then return {'differs', differs} end", ""),
    "an older checkpoint takes over": (
        "if step <= tonumber(last) then return {'stale', unpack(paths(job))} end",
        "",
    ),
    "a lost claim takes another job": ("if held_token == token and held", "if false and held"),
    "rows that are missing do not matter": (
        "if stored ~= tonumber(rows) then return {'gap', stored} end",
        "",
    ),
    "progress does not reset the crashes": (
        "crashes = tonumber(checkpoint) > tonumber(at_claim) and 0 or tonumber(crashes)",
        "crashes = tonumber(crashes)",
    ),
    "a deadline outlives its attempt": (
        "redis.call('ZREM', key('deadlines'), tenant .. '/' .. id)",
        "",
    ),
    "a mark counts too few rows": (
        "mark(job, tenant, id, first + count)",
        "mark(job, tenant, id, first)",
    ),
    "a removed job stays in a list": ("redis.call('ZREM', key('jobs', tenant), id)", ""),
    "who waits stays in line": ("if from == STATE.queued then dequeue(job, tenant, id) end", ""),
    "a busy worker is idle too": (
        "if other ~= state then redis.call('ZREM', key('class', other, class), worker) end",
        "",
    ),
    "entries are moved twice": (
        "if archive or tonumber(before or 0) ~= moved then return 'differs' end",
        "",
    ),
}
"""What is taken out of the functions, one at a time; every loss must be seen."""
LONG_TO_FIND = ("replayed rows are not compared", "progress does not reset the crashes")
"""Those that take hundreds of random histories; test_functions.py looks for each of them alone."""
SOON_FOUND = ("no token is looked at", "a gap is written over")
"""Those that are looked for every day."""


def run(server: EmbeddedServer, histories: int, mutant: tuple[str, str] = ("", "")) -> None:
    with redis.from_url(server.url, db=1) as client:
        prepare(client)
        client.config_set("appendfsync", "no")  # nothing is killed here, and there are many calls
        client.function_load(library().replace(*mutant), replace=True)
        run_state_machine_as_test(
            type("Histories", (Histories,), {"client": client}),
            settings=settings(
                max_examples=histories,
                phases=(Phase.generate,) if mutant[0] else tuple(Phase),
                stateful_step_count=40,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.fixture(autouse=True)
def _restored(server: EmbeddedServer) -> Iterator[None]:
    """Give the server back as the other tests want it."""
    yield
    with redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        client.function_load(library(), replace=True)


def test_random_histories_are_what_the_model_says(server: EmbeddedServer) -> None:
    run(server, 60)


@pytest.mark.parametrize(
    "name",
    [
        name
        if name in SOON_FOUND
        else pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])
        for name in MUTANTS
    ],
)
def test_a_mutant_of_the_functions_is_found(server: EmbeddedServer, name: str) -> None:
    whole, _ = MUTANTS[name]
    assert library().count(whole) == 1

    with pytest.raises((AssertionError, Failed, Gap, ReplayDiffers, ResponseError)):
        run(server, 3000 if name in LONG_TO_FIND else 300, MUTANTS[name])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_random_histories_are_what_the_model_says(server: EmbeddedServer) -> None:
    run(server, 10_000)
