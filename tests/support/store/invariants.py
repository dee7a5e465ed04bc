"""What must be true of the store after any step of a history, beside a model of its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from optserve.contract.states import State
from store.jobs import calls
from store.redis import keys
from store.redis.functions import send
from tests.support.store.model import TENANTS, Model, row
from tests.support.store.protocol import history, marks_of, record_of, rows_of


class Invariants(RuleBasedStateMachine):
    """
    A store beside a model of its jobs, which agree.

    Attributes:
        client: of the store.
        jobs: the model, by id.
    """

    client: ClassVar[redis.Redis]

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.jobs: dict[str, Model] = {}

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


def _set(values: Any) -> set[str]:
    return set(_list(values))


def _list(values: Any) -> list[str]:
    return [value.decode() for value in values]
