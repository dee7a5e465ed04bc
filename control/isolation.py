"""Isolation of errors in a round: if work on one job fails, the other jobs are still handled."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from control.storage import StorageCheck
from store.errors import JobError
from store.jobs import calls
from store.redis.functions import UNAVAILABLE, Call, send
from store.storage.storage import Storage

log = logging.getLogger(__name__)

PER_ROUND = 20
"""Maximum number of jobs that one round handles, so that a round does not take long."""
# This is no lock: two processes may handle one job at the same time; the Lua functions accept the
# result of the first.
PAUSE_MS = 60_000
"""
Milliseconds for which a job that one process handles is not given to another process. After that,
another process may get the job, since the first one may have failed or died.
"""
Work = Callable[[redis.Redis, Storage, str, str], None]


@contextmanager
def isolated(check: StorageCheck, kind: str, member: str) -> Iterator[None]:
    """
    Run the block of a ``with`` statement, and do not let its errors end the round.

    If the block raises an error, the error is logged and recorded in Redis with *member*: the
    member is set aside (`store.jobs.calls.SetAside`).

    An error is raised only if Redis is unavailable, or the storage is full or fails. Work on the
    other members would then fail, too.

    Args:
        check: tells whether the storage or the member caused an error.
        kind: the kind of work; `store.jobs.calls.SetAside` lists all kinds.
        member: what the block handles: a member of a set in Redis, mostly ``tenant/id`` of a job.
    """
    try:
        yield
    except UNAVAILABLE:
        raise
    # Any exception: a bug that one job triggers must not stop the work on all other jobs.
    except Exception as error:
        # Raised, since the jobs after this one would only meet the same error.
        if check.is_at_fault(error):
            raise
        # Errors that files and records are expected to cause get a line in the log; only a bug
        # needs a traceback.
        known = isinstance(error, OSError | JobError)
        log.warning("work of kind %r on %s failed: %s", kind, member, error, exc_info=not known)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        send(check.client, calls.set_aside(kind, member, why=why))
    else:
        # Always sent: only Redis knows whether the member was set aside before, perhaps by another
        # process.
        send(check.client, calls.put_back(kind, member))


def each_job(kind: str, check: StorageCheck, call: Call[list[str]], work: Work) -> None:
    """
    Call *work* for each job that *call* returns; if *work* fails for a job, set that job aside.

    *kind* is the kind of work, and *check* tells what caused an error; see `isolated`.
    """
    for member in send(check.client, call):
        tenant, _, job_id = member.partition("/")
        with isolated(check, kind, member):
            work(check.client, check.storage, tenant, job_id)
