"""
What a clone begins with: a copy of another job's state, in the clone's own folder.

It is copied, not pointed to: the other job continues, and deletes what it no longer needs.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
from pathlib import Path

from optserve.contract.requests.clone import Keep
from store.jobs.pointers import Pointer
from store.storage.artifacts import Storage

FACTS, WEIGHTS, STATE = "state.json", "model.safetensors", "state.safetensors"
"""The files of a checkpoint: its facts hold the SHA-256 of the other two under ``files``."""
FOLDER = "parent"
"""Where the copy lies in the folder of the clone."""
AT_A_TIME = 1 << 20
"""Bytes that are copied at a time."""


class Gone(Exception):
    """The files are no longer there: the job they belong to has deleted them."""


class Damaged(Exception):
    """The files are not what was written."""


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
    if not storage.named:
        raise FileNotFoundError(errno.ENOENT, "the storage is not mounted", str(storage.root))
    final = storage.job_folder(tenant, job_id) / FOLDER
    draft = final.with_name(f".draft-{FOLDER}")
    draft.mkdir(parents=True)
    try:
        copied = _copied(storage.path(source.path), draft, source.sha256, keep)
        _sync(draft)
        draft.rename(final)
        for folder in (final.parent, final.parent.parent):
            _sync(folder)
    except FileNotFoundError as error:
        forget(storage, tenant, job_id)
        raise Gone(str(error)) from None
    except BaseException:
        forget(storage, tenant, job_id)
        raise
    if unwanted.is_set():
        forget(storage, tenant, job_id)
        raise Unwanted
    return Pointer(source.step, storage.relative(final / copied), source.sha256)


def forget(storage: Storage, tenant: str, job_id: str) -> None:
    """Remove what was copied for a job that was not made in the end."""
    shutil.rmtree(storage.job_folder(tenant, job_id), ignore_errors=True)


def _copied(source: Path, draft: Path, sha256: str, keep: Keep) -> str:
    """Copy a checkpoint or a file into *draft*; return the name in there of what was copied."""
    if source.is_file():
        _copy(source, draft / WEIGHTS, sha256)
        return WEIGHTS
    _copy(source / FACTS, draft / FACTS, sha256)
    sums = json.loads((draft / FACTS).read_bytes())["files"]
    for name in (WEIGHTS,) if keep == "weights" else (WEIGHTS, STATE):
        _copy(source / name, draft / name, sums[name])
    return ""


def _copy(source: Path, target: Path, sha256: str) -> None:
    found = hashlib.sha256()
    with source.open("rb") as old, target.open("wb") as new:
        while part := old.read(AT_A_TIME):
            found.update(part)
            new.write(part)
        new.flush()
        os.fsync(new.fileno())
    if found.hexdigest() != sha256:
        raise Damaged(f"{source.name} must have SHA-256 {sha256}, got {found.hexdigest()}")


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
