"""What is done to a service while it works: processes are killed, or stopped for a while."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, Protocol

from jobs.spec.wire import Worker

Kind = Literal["trainer", "worker", "api", "server", "stop"]
SIGKILLS: dict[Kind, int] = {"trainer": 7, "worker": 2, "api": 1}
"""Who is killed, and how often beside the others."""
STOPS_PER_KILL, SERVERS_PER_KILL = 0.2, 0.1
STOPPED_S = (0.3, 2.5)
"""Seconds, beyond its lease, for which a trainer is stopped."""
HURTS = 2
"""Interruptions per job. Three deaths in a row without a new checkpoint would rightly be a crash
loop."""


class Victims(Protocol):
    """The processes that may be hurt."""

    def find(self, name: Literal["api", "server"]) -> int | None:
        """Return the process, or None if it is not to be hurt."""

    def workers(self) -> Collection[int] | None:
        """Return the processes of workers that may be killed, and their trainers; None for all."""


def plan(num_kills: int, draw: random.Random, *, whole: bool) -> list[Kind]:
    """
    Return what is to be done, in a random order.

    Args:
        num_kills: SIGKILLs of trainers, workers and API; stops and server kills come on top.
        draw: decides the order.
        whole: whether API, server and workers may be hurt, or trainers alone.
    """
    kinds: dict[Kind, int] = SIGKILLS if whole else {"trainer": 1}
    all_parts = sum(kinds.values())
    counts = {kind: round(num_kills * part / all_parts) for kind, part in kinds.items()}
    counts["trainer"] += num_kills - sum(counts.values())
    counts["stop"] = round(num_kills * STOPS_PER_KILL)
    counts["server"] = round(num_kills * SERVERS_PER_KILL) if whole else 0
    found = [kind for kind, count in counts.items() for _ in range(count)]
    draw.shuffle(found)
    return found


class Striker:
    """
    Strikes, one after another, at whoever works.

    Attributes:
        struck: how often, by kind.
    """

    def __init__(
        self,
        planned: list[Kind],
        draw: random.Random,
        victims: Victims,
        *,
        lease_s: float,
    ) -> None:
        self.struck: Counter[Kind] = Counter()
        self._planned, self._draw, self._victims = planned, draw, victims
        self._lease_s = lease_s
        self._hurt: Counter[str] = Counter()
        self._stopped: dict[int, float] = {}

    @property
    def left(self) -> int:
        """Strikes still to come."""
        return len(self._planned)

    def strike(self, workers: Callable[[], list[Worker]]) -> Kind | None:
        """Do what comes next, or something later that can be done now; return what was done."""
        for kind in dict.fromkeys(self._planned):
            if self._do(kind, workers):
                self._planned.remove(kind)
                self.struck[kind] += 1
                return kind
        return None

    def wake(self, *, everybody: bool = False) -> None:
        """Let those go on whose time is over."""
        for pid, until in list(self._stopped.items()):
            if everybody or time.monotonic() > until:
                del self._stopped[pid]
                _send(pid, signal.SIGCONT)

    def _do(self, kind: Kind, workers: Callable[[], list[Worker]]) -> bool:
        if kind in {"api", "server"}:
            pid = self._victims.find(kind)
            return pid is not None and _send(pid, signal.SIGKILL)
        return self._hurt_one_at_work(kind, workers())

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
                done = _send(trainer, signal.SIGSTOP)
                beyond = self._draw.uniform(*STOPPED_S)
                self._stopped[trainer] = time.monotonic() + self._lease_s + beyond
            else:
                done = _send(trainer if kind == "trainer" else worker.pid, signal.SIGKILL)
            self._hurt[worker.job] += done
            return done
        return False


def trainer_of(worker: int) -> int | None:
    """Return the trainer of a worker on this machine: the only child of its only child, if any."""
    server = _child(worker)
    return None if server is None else _child(server)


def _child(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def _send(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
