"""The objects that the parts of an attempt share: the trainer's tools, and the run's session."""

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
"""A function that makes the steps of a run and yields their reports."""


class Stop(Exception):
    """
    The run must stop now, before its last step.

    Attributes:
        why: the reason, for the job's history.
        save: whether to write a checkpoint first.
    """

    def __init__(self, why: str, *, save: bool) -> None:
        super().__init__(why)
        self.why, self.save = why, save


@dataclass(frozen=True)
class Tools:
    """
    The objects and settings that all attempts in a trainer use.

    Attributes:
        client: the Redis client, which does not retry by itself.
        storage: the storage to which checkpoints and artifacts are written.
        settings: the settings of the service.
        device: the device to train on: cpu or cuda.
        leaving: an event that is set when the worker should stop.
        train: the function that makes the steps of a run.
        poll_s: seconds between two polls for requests, when steps are shorter than this. Rows are
            sent at the same rate.
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
    What the parts of an attempt share once its run is set up.

    Attributes:
        claim: the id of the job, and the token with which this worker claimed it.
        tools: the trainer's client, storage and settings.
        sender: sends calls to Redis, and retries them.
        lease: renews the lease on the job.
        run: the run that is trained.
        reporter: the reporter, which sends the run's rows and evaluations to Redis.
        folder: the folder for the attempt's files, below the storage root.
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
        """Access to files in the storage; it retries, but raises `Stop` if the run must stop."""
        retry_for_s = self.tools.settings.fault_patience_s
        return Disk(
            self.tools.storage, self.claim, self.sender, self.lease, retry_for_s, self._give_up
        )

    def check_requests(self) -> None:
        """
        Check whether the run must stop at this point.

        Raises:
            Stop: the run must stop, since an action was requested or the worker is stopping.
            Exception: the error that ended the reporter; see `Reporter.check`.
        """
        self.reporter.check()
        action = self.reporter.requested_action or self.lease.requested_action
        if action:
            raise _stop(action)
        if self.tools.leaving.is_set():
            raise Stop("the worker is stopping", save=True)

    def check_killed(self) -> None:
        """
        Raise `Stop` if the job was killed.

        Call this after the end of the run, when other requests are ignored. The run cannot be saved
        any more.
        """
        self.reporter.check()
        if "kill" in (self.reporter.requested_action, self.lease.requested_action):
            raise _stop("kill")

    def wait_for_space(self) -> None:
        """Wait until the reporter has space for more rows; raise `Stop` if the run must stop."""
        with self.lease.phase("store"):
            while not self.reporter.wait_for_space():
                self.check_requests()

    def _give_up(self) -> None:
        try:
            self.check_requests()
        except Stop as stop:
            raise Stop(f"{stop.why}; no checkpoint could be written", save=False) from None


def _stop(action: str) -> Stop:
    """Return the `Stop` for a requested action."""
    if action == "kill":
        return Stop("killed", save=False)
    if action == "timeout":  # Redis measures the time, and decides the state of the job
        return Stop("the job has reached its time limit", save=True)
    return Stop(f"{action} requested", save=True)
