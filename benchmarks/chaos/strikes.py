"""Strikes at a working service: processes are killed, or stopped for a while."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Literal, Protocol

from benchmarks.chaos import proc
from benchmarks.chaos.unfinished import Unfinished, Writing
from optserve.contract.answers.workers import Worker

Kind = Literal[
    "trainer", "worker", "api", "fork server", "server", "up", "starting", Writing, "stop"
]
"""
The kinds of strikes. Most are named after the process that is killed.

``starting``: a part of the stack that has just been started, perhaps to replace a killed one.
``archiving``, ``cloning``: the API, while it writes a file that no record names yet.
``stop``: a trainer is stopped, for longer than its lease.
"""
SIGKILLS: dict[Kind, int] = {"trainer": 7, "worker": 2, "api": 1}
"""Processes that are killed -> their relative frequencies."""
ON_TOP: dict[Kind, float] = {
    "server": 0.1,
    "fork server": 0.1,
    "starting": 0.1,
    "archiving": 0.05,
    "cloning": 0.05,
    "up": 0.04,
}
"""Further processes that are killed -> the number of their kills per kill in `SIGKILLS`."""
STOPS_PER_KILL = 0.2
STOPPED_S = (0.3, 2.5)
"""Minimum and maximum of the seconds, beyond its lease, for which a trainer is stopped."""
STARTING_S = 1.5
"""Seconds for which a process counts as just started."""
WRITING_S = 0.5
"""Seconds to wait for an unfinished file before another strike is made instead."""
HURTS = 2
"""Maximum number of interruptions per job. Three deaths in a row without a new checkpoint would
rightly be a crash loop."""
AWAY: frozenset[Kind] = frozenset({"api", "server", "up", "starting", "archiving", "cloning"})
"""Strikes after which the service does not respond for a while."""


class Victims(Protocol):
    """The processes that may be struck."""

    def find(self, name: Literal["api", "server", "up"]) -> int | None:
        """Return the process id of a part; None if it is not running or must not be struck."""

    def parts(self) -> Sequence[int]:
        """Return the process ids of all parts of the stack that may be struck."""

    def workers(self) -> Collection[int] | None:
        """Return the process ids of workers that may be struck (with trainers); None for all."""


def plan(num_kills: int, draw: random.Random, *, whole: bool) -> list[Kind]:
    """
    Return the planned strikes, in a random order.

    Args:
        num_kills: the number of SIGKILLs of trainers, workers and API; other strikes are added.
        draw: the random generator that decides the order.
        whole: whether the whole service may be struck; otherwise, only trainers.
    """
    kinds: dict[Kind, int] = SIGKILLS if whole else {"trainer": 1}
    all_parts = sum(kinds.values())
    counts = {kind: round(num_kills * part / all_parts) for kind, part in kinds.items()}
    counts["trainer"] += num_kills - sum(counts.values())
    if whole:
        counts |= {kind: round(num_kills * per_kill) for kind, per_kill in ON_TOP.items()}
    counts["stop"] = round(num_kills * STOPS_PER_KILL)
    found = [kind for kind, count in counts.items() for _ in range(count)]
    draw.shuffle(found)
    return found


class Striker:
    """
    Makes the planned strikes one after another, at processes that are working.

    Attributes:
        struck: the number of strikes made, by kind.
    """

    def __init__(
        self,
        planned: list[Kind],
        draw: random.Random,
        victims: Victims,
        unfinished: Unfinished | None,
        *,
        lease_s: float,
    ) -> None:
        self.struck: Counter[Kind] = Counter()
        self._planned, self._draw, self._victims, self._unfinished = (
            planned,
            draw,
            victims,
            unfinished,
        )
        self._lease_s = lease_s
        self._hurt: Counter[str] = Counter()
        self._stopped: dict[int, float] = {}

    @property
    def left(self) -> int:
        """Number of strikes that are left."""
        return len(self._planned)

    @property
    def following(self) -> Kind | None:
        """The next planned strike, or None if none is left."""
        return self._planned[0] if self._planned else None

    def strike(self, workers: Callable[[], list[Worker]]) -> Kind | None:
        """Make the next strike, or a later one if only that is possible now; return its kind."""
        for kind in dict.fromkeys(self._planned):
            if self._do(kind, workers):
                return self._done(kind)
        return None

    def strike_while_away(self) -> Kind | None:
        """Kill a part that has just been started, if that is planned; return the kind of strike."""
        if "starting" in self._planned and self._do("starting", list):
            return self._done("starting")
        return None

    def wake(self, *, everybody: bool = False) -> None:
        """Continue the stopped trainers whose time is over; with *everybody*, all of them."""
        for pid, until in list(self._stopped.items()):
            if everybody or time.monotonic() > until:
                del self._stopped[pid]
                proc.send(pid, signal.SIGCONT)

    def _done(self, kind: Kind) -> Kind:
        self._planned.remove(kind)
        self.struck[kind] += 1
        return kind

    def _do(self, kind: Kind, workers: Callable[[], list[Worker]]) -> bool:
        match kind:
            case "api" | "server":
                pid = self._victims.find(kind)
                return pid is not None and proc.send(pid, signal.SIGKILL)
            case "up":
                return self._hurt_all(workers())
            case "starting":
                return self._hurt_one_that_starts()
            case "archiving" | "cloning":
                return self._hurt_writing(kind)
            case "trainer" | "worker" | "fork server" | "stop":
                return self._hurt_one_at_work(kind, workers())

    def _hurt_all(self, workers: list[Worker]) -> bool:
        """Kill ``optserve up``, and so the whole stack, unless a job was interrupted too often."""
        pid = self._victims.find("up")
        jobs = [worker.job for worker in workers if worker.job is not None]
        if pid is None or not jobs or any(self._hurt[job] >= HURTS for job in jobs):
            return False
        self._hurt.update(jobs)
        self._stopped.clear()
        return proc.send(pid, signal.SIGKILL)

    def _hurt_one_that_starts(self) -> bool:
        for pid in self._victims.parts():
            age = proc.age_s(pid)
            if age is not None and age < STARTING_S:
                return proc.send(pid, signal.SIGKILL)
        return False

    def _hurt_writing(self, kind: Writing) -> bool:
        """Kill the API while it writes a file; stop it first, to check that it still writes."""
        api = self._victims.find("api")
        unfinished = self._unfinished
        if api is None or unfinished is None:
            return False

        def kill(path: Path) -> bool:
            proc.send(api, signal.SIGSTOP)
            there = unfinished.is_unfinished(path)
            proc.send(api, signal.SIGKILL if there else signal.SIGCONT)
            return there

        return unfinished.wait_for(kind, WRITING_S, then=kill)

    def _hurt_one_at_work(self, kind: Kind, workers: list[Worker]) -> bool:
        allowed = self._victims.workers()
        self._draw.shuffle(workers)
        for worker in workers:
            ours = allowed is None or worker.pid in allowed
            if not ours or worker.job is None or self._hurt[worker.job] >= HURTS:
                continue
            trainer = trainer_of(worker.pid)
            if trainer is None or trainer in self._stopped:
                continue
            if kind == "stop":
                done = proc.send(trainer, signal.SIGSTOP)
                beyond = self._draw.uniform(*STOPPED_S)
                self._stopped[trainer] = time.monotonic() + self._lease_s + beyond
            else:
                done = proc.send(_victim(kind, worker.pid, trainer), signal.SIGKILL)
            self._hurt[worker.job] += done
            return done
        return False


def _victim(kind: Kind, worker: int, trainer: int) -> int:
    """Return the process to strike, among those that train one job."""
    if kind == "fork server":
        return _only_child(worker) or trainer
    return worker if kind == "worker" else trainer


def trainer_of(worker: int) -> int | None:
    """Return the process id of a worker's trainer (the child of its only child), or None."""
    server = _only_child(worker)
    return None if server is None else _only_child(server)


def _only_child(pid: int) -> int | None:
    found = proc.children(pid)
    return found[0] if found else None
