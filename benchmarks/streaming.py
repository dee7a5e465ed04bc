"""
Measures the cost of reporting every step: ``python -m benchmarks.streaming``.

Ours: the loop of a worker's attempt, whose rows go to a real server, with its journal, its lease
and its polls for requests. The peer: steps of the same run whose reports are discarded.

The speed of these processors varies by 5 % from one moment to the next, and the placement of data
in memory makes as much of a difference. So both sides are one run, in many short turns: some steps
are reported, then as many are not, and so on. The clock of the reporter stands still in the peer's
turns; processor time that the reporter's thread uses then, for rows of ours, is added to ours. The
lease's thread wakes once a second, in a turn of either side. The time of neither thread counts for
the peer. A run gives one ratio for all its turns, since an event that occurs once a second falls
into few of them.

Few machines make a whole step in 0.1 ms. The third job makes half steps, without a backward pass
and an update, on as many examples as can be processed in 0.1 ms.

Both sides create reports: the measured cost is that of sending them to the store.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import redis
import torch

from benchmarks.harness import Comparison, duration, show, timed
from optcore.training.loop import train
from optcore.training.reports import Report, StepReport
from optcore.training.run import Run
from optcore.training.steps.passes import loss_of
from optserve.contract.requests.job import JobSpec
from optserve.local.embedded import EmbeddedServer
from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.ids import new_id
from store.jobs.new_record import new_fields
from store.jobs.record import Record
from store.redis.connect import connect
from store.redis.functions import send
from store.redis.server import prepare
from store.settings import Settings
from store.storage.storage import Storage
from worker.attempt.checkpointer import Checkpointer
from worker.attempt.lease import Lease
from worker.attempt.session import Session, Tools
from worker.attempt.steps import StepLoop
from worker.reporting.cadence import Cadence
from worker.reporting.journal import Journal
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender

LEASE_MS = 30_000
RUNS = 21
TURNS = 250
"""Number of turns of each side in each run."""
WARM_TURNS = 25
THREADS = "lease", "reporter"

BATCH_SIZES = 16, 32, 64, 96, 128, 160, 192, 256, 320, 384
HALF_STEP_S = 0.87e-4
"""Maximum seconds of a half step that is measured alone; in turns it becomes 0.1 ms."""

Spec = dict[str, Any]
MakeSteps = Callable[[Run], Iterator[Report]]


class Job(NamedTuple):
    """
    A job to train.

    Attributes:
        name: the name for its steps.
        spec: a function that returns the spec of the job for a run.
        turn: the minimum number of steps in a turn. A turn has whole epochs, so that both sides
            shuffle equally often.
        wanted: the share of the speed that must be left with reporting.
        make_steps: a function that makes the steps of a run and yields their reports.
    """

    name: str
    spec: Callable[[], Spec]
    turn: int
    wanted: float
    make_steps: MakeSteps = train


def perceptron() -> Spec:
    """Return the spec of a job whose steps take about 1 ms."""
    return {
        "model": {"kind": "mlp", "hidden": [288, 288]},
        "dataset": {"kind": "digits", "batch_size": 64},
        "optimizer": {"kind": "adam"},
    }


def linear(batch_size: int = 16) -> Spec:
    """Return the spec of a job with the shortest possible steps."""
    return {
        "model": {"kind": "mlp", "hidden": []},
        "dataset": {"kind": "digits", "batch_size": batch_size},
        "optimizer": {"kind": "sgd", "lr": 0.01},
    }


def half_steps(run: Run) -> Iterator[Report]:
    """Yield the reports of steps without backward pass and update, after one whole step."""
    first = next(train(run))
    assert isinstance(first, StepReport)
    yield first
    while True:
        loss = loss_of(run, *run.batches.next(), micro=0).item()
        run.row += 1
        yield StepReport(run.row - 1, first.lr, loss)


def halved() -> Spec:
    """Return the spec whose half steps are the longest that take at most `HALF_STEP_S` now."""

    def took_s(batch_size: int) -> float:
        steps = half_steps(Run.start(job_spec(linear(batch_size)).run_spec(), data_dir=Path()))
        return statistics.median(timed(lambda: next(steps))() for _ in range(200))

    return linear(max((it for it in BATCH_SIZES if took_s(it) <= HALF_STEP_S), default=16))


def job_spec(spec: Spec) -> JobSpec:
    """Return the job for *spec*, practically endless, without evaluations and checkpoints."""
    training = {"steps": 10**7, "device": "cpu", "evaluate_every": None, "checkpoint_every": None}
    return JobSpec.parse({**spec, "training": training})


JOBS = [
    Job("steps", perceptron, turn=20, wanted=0.99),
    Job("steps", linear, turn=180, wanted=0.98),
    Job("half steps", halved, turn=180, wanted=0.98, make_steps=half_steps),
]


class HaltingClock:
    """A clock that can be halted."""

    def __init__(self) -> None:
        self._halted_s = 0.0
        self._halted_at: float | None = None

    def __call__(self) -> float:
        """Return the time in seconds, without the time for which the clock was halted."""
        return (self._halted_at or time.monotonic()) - self._halted_s

    def halt(self) -> None:
        """Halt the clock."""
        self._halted_at = time.monotonic()

    def go(self) -> None:
        """Let the clock run again."""
        assert self._halted_at is not None
        self._halted_s += time.monotonic() - self._halted_at
        self._halted_at = None


class Turns:
    """
    Divides the steps of a run into turns, and reports every other turn.

    Args:
        job: the job that is trained.
        clock: the clock of the reporter, which is halted in the peer's turns.

    Attributes:
        ours: the seconds of each reported turn.
        peer: the seconds of the unreported turn after each reported one.
        num_steps: the number of steps in a turn.
    """

    def __init__(self, job: Job, clock: HaltingClock) -> None:
        self.ours, self.peer = list[float](), list[float]()
        self.num_steps = 0
        self._job, self._clock = job, clock

    def train(self, run: Run) -> Iterator[Report]:
        """Yield the reports of the reported turns, with consecutive step numbers."""
        epoch = run.spec.steps_per_epoch
        turn = self.num_steps = math.ceil(self._job.turn / epoch) * epoch
        steps = self._job.make_steps(run)
        idents = {it.name: it.ident for it in threading.enumerate()}
        clocks = [time.pthread_getcpuclockid(idents[name] or 0) for name in THREADS]
        for _ in range(WARM_TURNS + TURNS):
            began = time.perf_counter()
            yield from islice(steps, turn)
            ours = time.perf_counter() - began
            self._clock.halt()
            before = [time.clock_gettime(it) for it in clocks]
            began = time.perf_counter()
            deque(passed_on(islice(steps, turn)), maxlen=0)
            peer = time.perf_counter() - began
            lease_s, rows_s = (
                time.clock_gettime(it) - then for it, then in zip(clocks, before, strict=True)
            )
            self.ours.append(ours + rows_s)
            self.peer.append(peer - rows_s - lease_s)
            run.row -= turn
            self._clock.go()


def passed_on(reports: Iterator[Report]) -> Iterator[Report]:
    """Yield *reports* unchanged, at the same cost as the ``yield from`` for our turns."""
    yield from reports


def main() -> None:
    """Run the benchmark and print the results."""
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory(prefix="optserve-bench-") as home,
        EmbeddedServer(Path(home)) as server,
    ):
        client = connect(server.url)
        prepare(client)
        show("Streaming", [measure(client, Path(home), job) for job in JOBS])


def measure(client: redis.Redis, home: Path, job: Job) -> Comparison:
    """Compare the loop with reporting and the loop without it."""
    ours, peer, step_s = list[float](), list[float](), list[float]()
    for _ in range(RUNS):
        turns = reporting(client, home, job)
        around = [(before + after) / 2 for before, after in pairwise(turns.peer)]
        ours.append(sum(turns.ours[WARM_TURNS:]))
        peer.append(sum(around[WARM_TURNS - 1 :]))
        step_s.append(peer[-1] / TURNS / turns.num_steps)
    name = f"{job.name} of {duration(statistics.median(step_s))}, each reported"
    return Comparison(name, ours, peer, wanted=job.wanted, peer_name="no reports")


def reporting(client: redis.Redis, home: Path, job: Job) -> Turns:
    """Train a run in turns, and report every other turn to the store; return the turns."""
    spec = job_spec(job.spec())
    run = Run.start(spec.run_spec(), data_dir=Path())
    (claim, record), settings, leaving = claimed(client, spec), Settings(), threading.Event()
    clock = HaltingClock()
    turns = Turns(job, clock)
    tools = Tools(client, Storage(home), settings, "cpu", leaving, turns.train)
    plan, sender = LrPlan(run.spec), RetryingSender(client, leaving)
    with (
        Lease(claim, client, settings, clock=clock) as lease,
        Journal(home, first=0, width=plan.series.width) as journal,
        Reporter(
            claim,
            sender,
            plan,
            first=0,
            lease_ms=LEASE_MS,
            journal=journal,
            cadence=Cadence(clock=clock),
        ) as reporter,
    ):
        session = Session(claim, tools, sender, lease, run, reporter, "1-t")
        StepLoop(session, Checkpointer(session, record)).train()
        reporter.flush()
        send(client, calls.fail(claim, reason="error", detail="a benchmark"))
    return turns


def claimed(client: redis.Redis, spec: JobSpec) -> tuple[Claim, Record]:
    """Submit and claim a job with *spec*; return the claim and the job's record."""
    call = calls.submit("local", new_id(), new_fields(spec), idempotency_key="", body_sha="")
    send(client, call)
    token = new_id()
    claim = calls.claim("bench", device="cpu", fingerprint="f", token=token, lease_ms=LEASE_MS)
    record = send(client, claim)
    assert record is not None
    return Claim(record.tenant, record.id, token), record


if __name__ == "__main__":
    main()
