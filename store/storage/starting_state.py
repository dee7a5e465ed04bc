"""
What a clone begins with: a copy of another job's state, in the clone's own folder.

It is copied, not pointed to: the other job continues, and deletes what it no longer needs.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from optcore.files import checkpoint
from optserve.contract.requests.clone import Keep
from store.jobs.pointers import Pointer
from store.storage.names import STARTING_STATE, job_folder
from store.storage.storage import Storage


class Gone(Exception):
    """The files are no longer there: the job they belong to has deleted them."""


class Unwanted(Exception):
    """The request that the copy is for was cancelled."""


def take(
    storage: Storage,
    source: Pointer,
    *,
    tenant: str,
    job_id: str,
    keep: Keep,
    unwanted: threading.Event,
) -> Pointer:
    """
    Copy what *source* points to into the folder of a job that does not exist yet.

    The copy is whole and on disk when this returns; every file in it was verified.

    Args:
        storage: where both lie.
        source: a checkpoint, or a file with a network.
        tenant: of the new job.
        job_id: of the new job.
        keep: weights: leave out the optimizer's state.
        unwanted: set when the request is cancelled; what there is of the copy is then deleted.

    Raises:
        Gone: there is no such file any more.
        FileNotFoundError: the storage is not there at all; nothing is written in its place.
        Damaged: a file has another SHA-256 than when it was written.
        Unwanted: it was not wanted any more.
    """
    storage.require_mounted("the storage is not mounted")
    target = f"{job_folder(tenant, job_id)}/{STARTING_STATE}"
    try:
        copied = checkpoint.copy(storage, source.path, target, sha256=source.sha256, keep=keep)
    except FileNotFoundError as error:
        forget(storage, tenant, job_id)
        raise Gone(str(error)) from None
    except BaseException:
        forget(storage, tenant, job_id)
        raise
    if unwanted.is_set():
        forget(storage, tenant, job_id)
        raise Unwanted
    return Pointer(source.step, copied, source.sha256)


def forget(storage: Storage, tenant: str, job_id: str) -> None:
    """Remove what was copied for a job that was not made in the end."""
    with suppress(OSError):  # no record points to it: an orphan, deleted in an hour
        storage.delete(job_folder(tenant, job_id))
