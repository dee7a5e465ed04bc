"""Sessions of attempts in the process of a test, around a run that it has set up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from optcore.training import loop
from optcore.training.run import Run
from store.jobs.calls import Claim
from store.settings import Settings
from store.storage.storage import Storage
from tests.support.store.protocol import record_of
from worker.attempt.checkpointer import Checkpointer
from worker.attempt.lease import Lease
from worker.attempt.session import Session, Tools, Train
from worker.attempt.steps import StepLoop
from worker.reporting.planned import LrPlan
from worker.reporting.reporter import Reporter
from worker.reporting.retry import RetryingSender


@contextmanager
def session_of(
    client: redis.Redis,
    claim: Claim,
    run: Run,
    root: Path,
    *,
    settings: Settings | None = None,
    leaving: threading.Event | None = None,
    train: Train = loop.train,
    **options: Any,
) -> Iterator[Session]:
    """
    Give the session of *run*.

    Args:
        client: of the store.
        claim: on the run's job.
        run: what is trained.
        root: of the storage.
        settings: of the service.
        leaving: set when the worker is to leave.
        train: makes the steps.
        options: of the reporter.
    """
    settings = settings or Settings()
    sender, lease_ms = RetryingSender(client, threading.Event()), int(1000 * settings.lease_s)
    leaving = leaving or threading.Event()
    tools = Tools(client, Storage(root), settings, "cpu", leaving, train)
    with (
        Lease(claim, client, settings) as lease,
        Reporter(
            claim, sender, LrPlan(run.spec), first=run.row, lease_ms=lease_ms, **options
        ) as reporter,
    ):
        yield Session(claim, tools, sender, lease, run, reporter, "1-t")


def train_session(session: Session, client: redis.Redis) -> None:
    """Train the session's run to its end; *client* reads its record."""
    record = record_of(client, session.claim.job_id)
    StepLoop(session, Checkpointer(session, record)).train()
