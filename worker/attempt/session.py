"""What the parts of an attempt share: the loop, the checkpoints, the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import redis

from optcore.training import loop
from optcore.training.reports import Report
from optcore.training.run import Run
from store.jobs.calls import Claim
from store.settings import Settings
from store.storage.storage import Storage
from worker.attempt.disk import Disk
from worker.attempt.lease import Lease
from worker.reporting.cadence import POLL_S
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender

Train = Callable[[Run], Iterator[Report]]
"""Makes the steps of a run and yields their reports."""


class Stop(Exception):
    """
    The run is to end here.

    Attributes:
        why: for the job's history.
        save: whether a checkpoint is to be made first.
    """

    def __init__(self, why: str, *, save: bool) -> None:
        super().__init__(why)
        self.why, self.save = why, save


@dataclass(frozen=True)
class Tools:
    """
    What all attempts of a trainer work with.

    Attributes:
        client: of the store; does not retry by itself.
        storage: where checkpoints and artifacts go.
        settings: of the service.
        device: cpu or cuda.
        leaving: set when the worker is to leave.
        train: makes the steps.
        poll_s: how often the loop polls for requests and sends rows, when steps are shorter.
    """

    client: redis.Redis
    storage: Storage
    settings: Settings
    device: str
    leaving: threading.Event
    train: Train = loop.train
    poll_s: float = POLL_S


@dataclass(frozen=True)
class Session:
    """
    An attempt whose run is set up.

    Attributes:
        claim: on the job.
        tools: of the trainer.
        sender: of calls to the store.
        lease: on the job.
        run: what is trained.
        reporter: of its rows.
        folder: of the attempt's files, below the storage root.
    """

    claim: Claim
    tools: Tools
    sender: RetryingSender
    lease: Lease
    run: Run
    reporter: Reporter
    folder: str

    @property
    def disk(self) -> Disk:
        """The way to files, which gives up when the run is requested to end."""
        retry_for_s = self.tools.settings.fault_patience_s
        return Disk(
            self.tools.storage, self.claim, self.sender, self.lease, retry_for_s, self._give_up
        )

    def check_requests(self) -> None:
        """Raise `Stop` if the run is requested to end here, or what the store has refused."""
        self.reporter.check()
        action = self.reporter.requested_action or self.lease.requested_action
        if action:
            raise _stop(action)
        if self.tools.leaving.is_set():
            raise Stop("the worker leaves", save=True)

    def wait_for_space(self) -> None:
        """Wait until the reporter has space for more rows, unless the run is to end."""
        with self.lease.phase("store"):
            while not self.reporter.wait_for_space():
                self.check_requests()

    def _give_up(self) -> None:
        try:
            self.check_requests()
        except Stop as stop:
            raise Stop(f"{stop.why}; nothing could be written", save=False) from None


def _stop(action: str) -> Stop:
    """Return how the run ends for what the store asks."""
    if action == "kill":
        return Stop("killed", save=False)
    if action == "timeout":  # the store keeps the time, and decides where the job goes
        return Stop("its time is over", save=True)
    return Stop(f"{action} requested", save=True)
