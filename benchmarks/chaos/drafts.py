"""Files and folders of a storage that are not whole yet: what lies there while they are written."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

Draft = Literal["archive draft", "clone draft"]
NAME = ".draft-"
"""What the names of all of them begin with."""
ARCHIVE, ROWS, HISTORY = "archive", "-rows.parquet", "-events.jsonl"
"""
Folder of a job with what was moved there, and how the names of the files in it end. The history
comes last, and only if it is long: that of a job whose checkpoints the store never heard of is not.
"""
CLONE = f"{NAME}parent"
"""What a clone begins with, while it is copied."""
LOOK_S = 0.0005
"""Seconds between two looks: a draft is there for some milliseconds."""
AGED_S = 2 * 3600.0
"""Seconds after which nobody is still at work on a draft, to any service."""


class Drafts:
    """The drafts in the storage of a service."""

    def __init__(self, storage: Path) -> None:
        self._jobs = storage / "jobs" / "local"
        self._whole: set[str] = set()  # nothing more is moved of them

    def wait_for(self, kind: Draft, for_s: float, *, then: Callable[[Path], bool]) -> bool:
        """
        Wait until there is a draft, for so long; return whether *then*, given it, says yes.

        Args:
            kind: of what is being written.
            for_s: seconds.
            then: called at once for every draft that is seen.
        """
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline:
            draft = self._seen(kind)
            if draft is not None and then(draft):
                return True
            time.sleep(LOOK_S)
        return False

    def unarchived(self, jobs: list[str]) -> list[str]:
        """Return those of the *jobs*, which have ended, whose rows are not moved."""
        return [
            job for job in jobs if not any(name.endswith(ROWS) for name in self._in_archive(job))
        ]

    def left(self) -> list[Path]:
        """Return all drafts of whatever kind."""
        return [path for path in _beneath(self._jobs) if path.name.startswith(NAME)]

    def age(self) -> None:
        """Let the folders of jobs with drafts look as if nothing had been written for hours."""
        before = time.time() - AGED_S
        for folder in {
            self._jobs / draft.relative_to(self._jobs).parts[0] for draft in self.left()
        }:
            for path in (*_beneath(folder), folder):
                with contextlib.suppress(FileNotFoundError):  # the service may remove it just now
                    os.utime(path, (before, before))

    def _seen(self, kind: Draft) -> Path | None:
        for job in _names(self._jobs):
            if kind == "clone draft":
                draft = self._jobs / job / CLONE
                if draft.exists():
                    return draft
            elif job not in self._whole:
                for name in self._in_archive(job):
                    if name.startswith(NAME):
                        return self._jobs / job / ARCHIVE / name
        return None

    def _in_archive(self, job: str) -> list[str]:
        """Return what has been moved of a job that has ended, or is being moved."""
        names = _names(self._jobs / job / ARCHIVE)
        if any(name.endswith(HISTORY) for name in names):
            self._whole.add(job)
        return names


def _beneath(folder: Path) -> Iterator[Path]:
    """Yield all files and folders in a folder; what is removed meanwhile is passed over."""
    for path, folders, files in os.walk(folder):
        yield from (Path(path, name) for name in (*folders, *files))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # not there yet, or just removed
        return []
