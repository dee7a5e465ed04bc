"""Files of jobs, below one storage root that API and workers share."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

MODEL = "model.safetensors"
EMA = "ema.safetensors"
NAMES = (MODEL, EMA)
"""Every name an artifact may have."""


class Storage:
    """
    The storage root.

    Every attempt writes into a folder of its own; only what a record points to is real.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def attempt_folder(self, tenant: str, job_id: str, attempt: int, token: str) -> Path:
        """Return the folder that this attempt may write to."""
        return self.root / "jobs" / tenant / job_id / f"{attempt}-{token[:8]}"

    def sweep_checkpoints(self, attempt: Path, needed: Collection[str]) -> None:
        """
        Remove the checkpoints of a job that are not *needed*.

        Args:
            attempt: folder of the attempt that asks. Those of later ones are left alone: it may
                have lost the job without knowing.
            needed: their paths, as a record keeps them.
        """
        for path in attempt.parent.glob("*/checkpoints/*"):
            later = _number(path.parents[1]) > _number(attempt)
            if not later and self.relative(path) not in needed:
                shutil.rmtree(path, ignore_errors=True)

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


def _number(attempt: Path) -> int:
    """Return the number of the attempt whose folder this is."""
    return int(attempt.name.partition("-")[0])
