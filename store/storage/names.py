"""Names of files and folders in the storage."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator

from optcore.files.files import Files

MODEL = "model.safetensors"
"""Artifact that holds the network of a finished job."""
EMA = "ema.safetensors"
"""Artifact that holds the moving average of the network's weights, if the job keeps one."""
BEST = "best.safetensors"
"""Artifact that holds the network at its best evaluation, if the job sets `keep_best`."""
NAMES = (MODEL, EMA, BEST)
"""All names that artifacts have."""
ARCHIVE = "archive"
"""Folder in a job's folder for the files with its rows and history after the job has ended."""
HISTORY = "history"
"""Folder in a job's folder for the files with older history entries while the job runs."""
STARTING_STATE = "parent"
"""Folder in a clone's folder for the clone's own copy of the state that it starts from."""
DELETABLE = ("checkpoints", "best")
"""Folders in an attempt's folder whose entries are deleted when no record points to them."""

JOBS = "jobs"
"""Folder in the storage root that contains the folders of all jobs."""
STORE = "store"
"""File in the storage root with the name of the store (the Redis data) that the files belong to."""


def job_folder(tenant: str, job_id: str) -> str:
    """Return the path of a job's folder."""
    return f"{JOBS}/{tenant}/{job_id}"


def attempt_folder(tenant: str, job_id: str, attempt: int, token: str) -> str:
    """Return the path of the folder that an attempt with this number and token writes to."""
    return f"{job_folder(tenant, job_id)}/{attempt}-{token[:8]}"


def archive_folder(tenant: str, job_id: str) -> str:
    """Return the path of the folder for a job's rows and history after the job has ended."""
    return f"{job_folder(tenant, job_id)}/{ARCHIVE}"


def history_folder(tenant: str, job_id: str) -> str:
    """Return the path of the folder for older entries of a job's history while the job runs."""
    return f"{job_folder(tenant, job_id)}/{HISTORY}"


def unique(folder: str, name: str) -> str:
    """Return an unused path in *folder* that ends with *name*, after a random prefix."""
    return f"{folder}/{secrets.token_hex(8)}-{name}"


def jobs_in(files: Files) -> Iterator[tuple[str, str]]:
    """Yield the tenant and id of every job that has a folder, even of a job without a record."""
    for tenant in files.entries(JOBS):
        for folder in files.entries(tenant):
            yield tenant.rpartition("/")[2], folder.rpartition("/")[2]


def attempts_in(files: Files, job: str) -> list[str]:
    """Return the paths of all attempt folders in *job*, the folder of a job."""
    return [name for name in files.entries(job) if number_of(name) >= 0]


def unneeded_states(files: Files, attempt: str, needed: Collection[str]) -> list[str]:
    """Return the checkpoints and best states in the folder *attempt* that are not in *needed*."""
    states = [entry for kind in DELETABLE for entry in files.entries(f"{attempt}/{kind}")]
    return [state for state in states if not is_needed(state, needed)]


def is_needed(folder: str, needed: Collection[str]) -> bool:
    """Return whether any of the *needed* paths is *folder* or is inside it."""
    return any(path == folder or path.startswith(f"{folder}/") for path in needed)


def number_of(attempt: str) -> int:
    """Return the number of an attempt from the path of its folder; -1 for any other folder."""
    number, dash, _ = attempt.rpartition("/")[2].partition("-")
    return int(number) if dash and number.isdecimal() else -1
