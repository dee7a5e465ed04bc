"""Names of files and folders in the storage."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator

from optcore.files.files import Files

MODEL = "model.safetensors"
"""The network of a finished job."""
EMA = "ema.safetensors"
"""The moving average of its weights, if it has one."""
BEST = "best.safetensors"
"""The network at its best evaluation, with `keep_best`."""
NAMES = (MODEL, EMA, BEST)
"""Every name an artifact may have."""
ARCHIVE = "archive"
"""Folder of a job with what was moved out of the store when it had ended."""
HISTORY = "history"
"""Folder of a job with the older entries of a long history."""
STARTING_STATE = "parent"
"""Folder of a clone with its copy of what it starts from."""
DELETABLE = ("checkpoints", "best")
"""Folders of an attempt whose entries go when no record needs them any more."""

JOBS = "jobs"
"""Folder below which all files of jobs are."""
STORE = "store"
"""File below the root that names the store to which the files belong."""


def job_folder(tenant: str, job_id: str) -> str:
    """Return the folder of a job."""
    return f"{JOBS}/{tenant}/{job_id}"


def attempt_folder(tenant: str, job_id: str, attempt: int, token: str) -> str:
    """Return the folder that this attempt may write to."""
    return f"{job_folder(tenant, job_id)}/{attempt}-{token[:8]}"


def archive_folder(tenant: str, job_id: str) -> str:
    """Return the folder for what is moved out of the store when a job has ended."""
    return f"{job_folder(tenant, job_id)}/{ARCHIVE}"


def history_folder(tenant: str, job_id: str) -> str:
    """Return the folder for the older entries of a history that grew long."""
    return f"{job_folder(tenant, job_id)}/{HISTORY}"


def unique(folder: str, name: str) -> str:
    """Return a name in *folder* that nobody has used and that ends with *name*."""
    return f"{folder}/{secrets.token_hex(8)}-{name}"


def jobs_in(files: Files) -> Iterator[tuple[str, str]]:
    """Yield tenant and id of every job that has a folder, whether it exists or not."""
    for tenant in files.entries(JOBS):
        for folder in files.entries(tenant):
            yield tenant.rpartition("/")[2], folder.rpartition("/")[2]


def attempts_in(files: Files, job: str) -> list[str]:
    """Return the folders of all attempts at the job whose folder is *job*."""
    return [name for name in files.entries(job) if number_of(name) >= 0]


def unneeded_states(files: Files, attempt: str, needed: Collection[str]) -> list[str]:
    """Return the checkpoints and best states in the folder of an attempt that are not *needed*."""
    states = [entry for kind in DELETABLE for entry in files.entries(f"{attempt}/{kind}")]
    return [state for state in states if not is_needed(state, needed)]


def is_needed(folder: str, needed: Collection[str]) -> bool:
    """Return whether one of the *needed* paths is *folder*, or lies in it."""
    return any(path == folder or path.startswith(f"{folder}/") for path in needed)


def number_of(attempt: str) -> int:
    """Return the number of the attempt whose folder this is; -1 for another folder."""
    number, dash, _ = attempt.rpartition("/")[2].partition("-")
    return int(number) if dash and number.isdecimal() else -1
