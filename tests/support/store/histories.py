"""Random histories: any order of what clients, workers, zombies and the reaper do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, multiple, precondition, rule, run_state_machine_as_test

from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis import keys
from store.redis.functions import Fenced, Gap, ReplayDiffers, send
from store.redis.library import library
from store.redis.server import prepare
from tests.support.store.invariants import Invariants
from tests.support.store.model import STEPS, STRENGTH, TENANTS, WORKERS, Model, row
from tests.support.store.protocol import append, claim, hello, reap, run_out, submit


class Histories(Invariants):
    """One history."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
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
    def asks_for_its_queue_position(self, data: st.DataObject) -> None:
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
            assert work() == job.requested_action
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

    @precondition(lambda self: self._advancing(self.jobs.values()))
    @rule(data=st.data(), crashed=st.booleans())
    def saves_a_new_step_and_is_released(self, data: st.DataObject, crashed: bool) -> None:
        """Progress resets the count of crashes: by single rules, hardly any history gets there."""
        advancing = self._advancing(self.jobs.values())
        held = data.draw(st.sampled_from(advancing)).held
        assert held is not None
        self.appends(held, back=0, count=1, lie=False)
        self.saves(held, behind=0)
        self.releases(held, crashed=crashed)

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
        assert send(self.client, call) == self.jobs[held.job_id].requested_action
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

    @staticmethod
    def _advancing(jobs: Iterable[Model]) -> list[Model]:
        return [job for job in jobs if job.held is not None and job.rows < STEPS]

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
