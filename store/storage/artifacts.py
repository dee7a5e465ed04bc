"""Files of jobs, below one storage root that API and workers share."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

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
DELETABLE = ("checkpoints", "best")
"""Folders of an attempt whose entries go when no record needs them any more."""


STORE = "store"
"""File below the root that names the store to which the files belong."""


class Storage:
    """
    The storage root.

    Every attempt writes into a folder of its own; only what a record points to is real.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def job_folder(self, tenant: str, job_id: str) -> Path:
        """Return the folder of a job."""
        return self.root / "jobs" / tenant / job_id

    def attempt_folder(self, tenant: str, job_id: str, attempt: int, token: str) -> Path:
        """Return the folder that this attempt may write to."""
        return self.job_folder(tenant, job_id) / f"{attempt}-{token[:8]}"

    def archive_folder(self, tenant: str, job_id: str) -> Path:
        """Return the folder for what is moved out of the store when a job has ended."""
        return self.job_folder(tenant, job_id) / ARCHIVE

    def history_folder(self, tenant: str, job_id: str) -> Path:
        """Return the folder for the older entries of a history that grew long."""
        return self.job_folder(tenant, job_id) / HISTORY

    def settle(self, folder: Path) -> None:
        """Put on disk what is in *folder*, and in every folder from there to the root."""
        for each in (folder, *folder.parents):
            handle = os.open(each, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            if each == self.root:
                return

    def delete_checkpoints(self, attempt: Path, needed: Collection[str]) -> None:
        """
        Delete the checkpoints and best states of a job that are not *needed*.

        Args:
            attempt: folder of the attempt that asks. Those of later ones are left alone: it may
                have lost the job without knowing.
            needed: their paths, as a record has them; one may lie deeper in what is retained.
        """
        retained = [self.root / path for path in needed]
        for path in (p for folder in DELETABLE for p in attempt.parent.glob(f"*/{folder}/*")):
            later = _number(path.parents[1]) > _number(attempt)
            if not later and not any(each.is_relative_to(path) for each in retained):
                shutil.rmtree(path, ignore_errors=True)

    def folders(self) -> Iterator[tuple[str, str]]:
        """Yield tenant and id of every job that has a folder, whether it exists or not."""
        for folder in (self.root / "jobs").glob("*/*"):
            yield folder.parent.name, folder.name

    def measure(self, tenant: str, job_id: str) -> int:
        """Return the bytes of all files of a job."""
        return sum(_size(path) for path in self.job_folder(tenant, job_id).rglob("*"))

    def idle_s(self, tenant: str, job_id: str) -> float:
        """
        Return for how many seconds nothing has been written to the folder of a job.

        Raises:
            OSError: part of it cannot be looked at, which proves nothing about its age.
        """
        latest = 0.0
        for folder, _, names in os.walk(self.job_folder(tenant, job_id), onerror=_refuse):
            paths = (Path(folder), *(Path(folder, name) for name in names))
            latest = max(latest, *(path.lstat().st_mtime for path in paths))
        return time.time() - latest

    def age_s(self, path: Path) -> float:
        """Return for how many seconds nothing has been written to a file."""
        return time.time() - path.stat().st_mtime

    def remove(self, tenant: str, job_id: str) -> None:
        """Remove the folder of a job, or raise the `OSError` for which some of it stays."""
        shutil.rmtree(self.job_folder(tenant, job_id), onerror=_unless_gone)

    def attempts(self, tenant: str, job_id: str) -> list[Path]:
        """Return the folders of all attempts at a job."""
        return [
            path
            for path in self.job_folder(tenant, job_id).glob("*-*")
            if path.name.partition("-")[0].isdecimal()
        ]

    @property
    def named(self) -> bool:
        """Whether it bears the name of a store: a folder whose mount is away does not."""
        return (self.root / STORE).is_file()

    def size(self, relative: str) -> int | None:
        """Return the bytes of a file, or of all files in a folder; None if it is not there."""
        path = self.path(relative)
        try:
            files = [path] if path.is_file() else list(path.iterdir())
            return sum(file.stat().st_size for file in files)
        except (FileNotFoundError, NotADirectoryError):  # it may be deleted at any moment
            return None

    def relative(self, path: Path) -> str:
        """Return *path* as a record keeps it: below the root."""
        return str(path.relative_to(self.root))

    def path(self, relative: str) -> Path:
        """Return where a record's path lies; it never leads out of the root."""
        path = (self.root / relative).resolve()
        if not path.is_relative_to(self.root.resolve()):
            raise ValueError(f"a path must lie below the storage root, got {relative!r}")
        return path

    def described(self, path: Path) -> dict[str, Any]:
        """Return what a record keeps of the artifact at *path*."""
        content = path.read_bytes()
        return {
            "path": self.relative(path),
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # deleted meanwhile
        return 0


def _refuse(error: OSError) -> None:
    raise error


def _number(attempt: Path) -> int:
    """Return the number of the attempt whose folder this is."""
    return int(attempt.name.partition("-")[0])


def _unless_gone(function: object, path: str, error: tuple[Any, BaseException, Any]) -> None:
    """Raise why something could not be deleted, unless another process just did."""
    del function, path
    if not isinstance(error[1], FileNotFoundError):
        raise error[1]
