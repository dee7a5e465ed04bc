"""
What it costs to report every step: ``python -m benchmarks.streaming``.

Ours: the loop as a worker's attempt drives it, every row going to a real server, with its journal,
its lease, and looks at what is asked for. The peer: the same steps, whose reports are thrown away.

These processors change their speed by 5 % from one moment to the next, long or short. So turns are
short and many: ours makes some steps, for about 20 ms, then, within the same loop, another run
makes as many for the peer, and so on. The clock of reporting stands still in the peer's turns; what
its thread uses of a processor then, for rows of ours, is put on ours. The lease's thread looks up
once a second, whoever's turn it is. Neither thread's time counts for the peer. A run gives one
ratio, of all its turns: what happens once a second falls into few of them.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import redis
import torch
from redis.backoff import NoBackoff
from redis.retry import Retry

from benchmarks.harness import Comparison, duration, show
from jobs import calls
from jobs.artifacts import Storage
from jobs.calls import Held
from jobs.functions import send
from jobs.record import new_fields, new_id
from jobs.server import prepare
from jobs.settings import Settings
from jobs.spec.job import JobSpec
from optcore.training.loop import train
from optcore.training.reports import Report, StepReport
from optcore.training.run import Run
from optserve.embedded import EmbeddedServer
from worker import attempt, books, lease, reporter
from worker.journal import Journal
from worker.lease import Lease
from worker.pace import Pace
from worker.patience import Patience
from worker.plan import Plan
from worker.reporter import Reporter

LEASE_MS = 30_000
RUNS = 61
"""Each with memory of its own, which may lie better or worse."""
TURNS = 250
"""Of each side, in each run."""
WARM_TURNS = 25
THREADS = "lease", "reporter"


class Job(NamedTuple):
    """
    What is trained.

    Attributes:
        spec: of the job.
        turn: steps of a turn.
        wanted: share of the speed that must be left.
    """

    spec: dict[str, Any]
    turn: int
    wanted: float


JOBS = [
    Job(
        {
            "model": {"kind": "mlp", "hidden": [288, 288]},
            "dataset": {"kind": "digits", "batch_size": 64},
            "optimizer": {"kind": "adam"},
        },
        turn=20,
        wanted=0.99,
    ),
    Job(
        {
            "model": {"kind": "mlp", "hidden": []},
            "dataset": {"kind": "digits", "batch_size": 16},
            "optimizer": {"kind": "sgd", "lr": 0.01},
        },
        turn=200,
        wanted=0.98,
    ),
]


class HaltingClock:
    """Stands for a module's `time`, and may stand still."""

    def __init__(self) -> None:
        self._halted_s = 0.0
        self._halted_at: float | None = None

    def monotonic(self) -> float:
        """Return seconds, without those for which it stood still."""
        return (self._halted_at or time.monotonic()) - self._halted_s

    def halt(self) -> None:
        """Stand still."""
        self._halted_at = time.monotonic()

    def go(self) -> None:
        """Go on."""
        assert self._halted_at is not None
        self._halted_s += time.monotonic() - self._halted_at
        self._halted_at = None


@contextlib.contextmanager
def halting() -> Iterator[HaltingClock]:
    """Give reporting a clock that may stand still."""
    clock = HaltingClock()
    for module in (books, lease, reporter):
        vars(module)["time"] = clock
    vars(attempt)["Pace"] = partial(Pace, clock=clock.monotonic)
    try:
        yield clock
    finally:
        vars(books)["time"] = vars(lease)["time"] = vars(reporter)["time"] = time
        vars(attempt)["Pace"] = Pace


class Turns:
    """
    Takes the reports of ours; after so many of them, lets the peer make as many steps.

    Args:
        take: what a report goes to.
        peer: steps whose reports are thrown away.
        steps: of a turn.
        clock: stands still in the peer's turns.

    Attributes:
        ours: seconds of each turn of ours.
        peer: seconds of each turn of the peer, which follows.
    """

    def __init__(
        self,
        take: Callable[[StepReport], None],
        peer: Iterator[Report],
        steps: int,
        clock: HaltingClock,
    ) -> None:
        self.ours, self.peer = list[float](), list[float]()
        self._take, self._peer, self._steps, self._clock = take, peer, steps, clock
        self._left = steps
        idents = {it.name: it.ident for it in threading.enumerate()}
        self._clocks = [time.pthread_getcpuclockid(idents[name] or 0) for name in THREADS]
        self._began = time.perf_counter()

    def __call__(self, report: StepReport) -> None:
        """Take the report of a step; change sides after the last one of a turn."""
        self._take(report)
        self._left -= 1
        if not self._left:
            self._change()

    def _pass(self, report: StepReport) -> None:
        """Do as above, but take nothing."""
        del report
        self._left -= 1

    def _change(self) -> None:
        ours = time.perf_counter() - self._began
        self._clock.halt()
        self._left, before, began = self._steps, self._used_s(), time.perf_counter()
        for report in self._peer:
            if isinstance(report, StepReport):
                self._pass(report)
                if not self._left:
                    break
        peer = time.perf_counter() - began
        lease, rows = (now - then for now, then in zip(self._used_s(), before, strict=True))
        self.ours.append(ours + rows)
        self.peer.append(peer - rows - lease)
        self._clock.go()
        self._left, self._began = self._steps, time.perf_counter()

    def _used_s(self) -> list[float]:
        """Return the processor's seconds that THREADS have used, each."""
        return [time.clock_gettime(it) for it in self._clocks]


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
    ):
        client = redis.from_url(server.url, retry=Retry(NoBackoff(), 0))
        prepare(client)
        show("Streaming", [measure(client, Path(home), job) for job in JOBS])


def measure(client: redis.Redis, home: Path, job: Job) -> Comparison:
    """Compare the loop that reports with the loop that does not."""
    ours, peer = list[float](), list[float]()
    for _ in range(RUNS):
        turns = reporting(client, home, job)
        around = [(before + after) / 2 for before, after in pairwise(turns.peer)]
        ours.append(sum(turns.ours[WARM_TURNS:]))
        peer.append(sum(around[WARM_TURNS - 1 :]))
    step = duration(statistics.median(peer) / TURNS / job.turn)
    name = f"every step reported, {step} a step"
    return Comparison(name, ours, peer, wanted=job.wanted, peer_name="no reports")


def reporting(client: redis.Redis, home: Path, job: Job) -> Turns:
    """Let a run each of whose steps reaches the store, and one without reports, take turns."""
    count = (WARM_TURNS + TURNS) * job.turn
    training = {"steps": count, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}
    spec = JobSpec.parse({**job.spec, "training": training})
    run, peer = (Run.start(spec.run_spec(), data_dir=Path()) for _ in range(2))
    held, settings, leaving = claimed(client, spec), Settings(), threading.Event()
    tools = attempt.Tools(client, Storage(home), settings, "cpu", leaving)
    plan = Plan(run.spec)
    with (
        halting() as clock,
        Lease(held, client, settings) as lease,
        Journal(home / "journal", first=0, width=plan.series.width) as journal,
        Reporter(
            held,
            Patience(client, leaving),
            plan,
            first=0,
            lease_ms=LEASE_MS,
            journal=journal,
        ) as ours,
    ):
        turns = Turns(ours.take, train(peer), job.turn, clock)
        ours.take = turns
        attempt.Attempt(held, tools).follow(run, ours, lease, home)
        ours.flush()
        send(client, calls.fail(held, reason="error", detail="a benchmark"))
    return turns


def claimed(client: redis.Redis, spec: JobSpec) -> Held:
    """Return a job of *spec* that is ours."""
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    send(client, call)
    token = new_id()
    claim = calls.claim("bench", device="cpu", fingerprint="f", token=token, lease_ms=LEASE_MS)
    record = send(client, claim)
    assert record is not None
    return Held(record.tenant, record.id, token)


if __name__ == "__main__":
    main()
