"""
Copies the state that a clone starts from into the clone's own folder.

The clone needs a copy of its own, since the job that it was cloned from deletes old checkpoints.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from optcore.files import checkpoint_files
from optserve.contract.requests.clone import Keep
from store.jobs.pointers import Pointer
from store.storage.names import STARTING_STATE, job_folder
from store.storage.storage import Storage


class Gone(Exception):
    """The files to be copied do not exist any more: the job that owned them has deleted them."""


class Unwanted(Exception):
    """The request that needed the copy was cancelled."""


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
    Copy the state at *source* into the folder of a new job; return a pointer to the copy.

    When the function returns, the copy is complete and on disk, and every file in it was verified.

    Args:
        storage: the storage that holds the source and gets the copy.
        source: the pointer to a checkpoint, or to a file with a network.
        tenant: the tenant of the new job.
        job_id: the id of the new job, which has no record yet.
        keep: ``weights``, or ``optimizer`` to copy the optimizer's state too.
        unwanted: an event that is set when the request is cancelled; the copy is then deleted.

    Raises:
        Gone: a file of the source does not exist any more.
        FileNotFoundError: the storage is not mounted; nothing was written.
        Damaged: the SHA-256 of a file differs from that in the checkpoint.
        Unwanted: the request was cancelled.
    """
    storage.require_mounted("the storage is not mounted")
    target = f"{job_folder(tenant, job_id)}/{STARTING_STATE}"
    try:
        copied = checkpoint_files.copy(
            storage, source.path, target, sha256=source.sha256, keep=keep
        )
    except FileNotFoundError as error:
        forget(storage, tenant, job_id)
        raise Gone(str(error)) from None
    except BaseException:
        forget(storage, tenant, job_id)
        raise
    # A thread cannot be cancelled, so a copy always ends before its request's end is noticed.
    if unwanted.is_set():
        forget(storage, tenant, job_id)
        raise Unwanted
    return Pointer(source.step, copied, source.sha256)


def forget(storage: Storage, tenant: str, job_id: str) -> None:
    """Delete the folder of a job that was not created after all."""
    with suppress(OSError):  # no record points to the folder: it is deleted as an orphan
        storage.delete(job_folder(tenant, job_id))
