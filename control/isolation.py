"""The members of a round, each handled by itself: one that fails does not end the round."""

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
"""Jobs that one round sees to, so that none takes long."""
# It is not a lock: two processes may have one job at a time, and the functions on the server accept
# what the first of them says.
PAUSE_MS = 60_000
"""
Milliseconds for which a job is given to no other process; then another may have it, since the one
that had it may have failed, or died.
"""
Work = Callable[[redis.Redis, Storage, str, str], None]


@contextmanager
def isolated(check: StorageCheck, kind: str, member: str) -> Iterator[None]:
    """
    Set a member aside if handling it fails, and log why; the round continues with the others.

    A store that is away, or a storage that is full or away, is no fault of the member, and ends the
    round.

    Args:
        check: decides whether an error is the storage's or the member's.
        kind: of what is done.
        member: mostly ``tenant/id`` of a job.
    """
    try:
        yield
    except UNAVAILABLE:
        raise
    # Any exception: a mistake of ours that one job brings out must not stop the work on all others.
    except Exception as error:
        # Raised, since the jobs after this one would only find the same.
        if check.is_at_fault(error):
            raise
        # What is expected of files and records is a line in the log; only a mistake of the service
        # itself needs a traceback.
        known = isinstance(error, OSError | JobError)
        log.warning("%s of %s: %s", kind, member, error, exc_info=not known)
        why = str(error) if known else f"{type(error).__name__}: {error}"
        send(check.client, calls.set_aside(kind, member, why=why))
    else:
        # Always sent: only the server knows whether it was set aside before, maybe by another
        # process.
        send(check.client, calls.put_back(kind, member))


def each_job(kind: str, check: StorageCheck, call: Call[list[str]], work: Work) -> None:
    """Call *work* for each job that *call* returns; one that fails is set aside as *kind*."""
    for member in send(check.client, call):
        tenant, _, job_id = member.partition("/")
        with isolated(check, kind, member):
            work(check.client, check.storage, tenant, job_id)
