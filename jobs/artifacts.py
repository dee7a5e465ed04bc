"""Files of jobs, below one storage root that API and workers share."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

MODEL = "model.safetensors"
NAMES = (MODEL,)
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

    def sweep_checkpoints(self, tenant: str, job_id: str, needed: Collection[str]) -> None:
        """Remove the checkpoints of a job, of all its attempts, that are not *needed*."""
        for path in (self.root / "jobs" / tenant / job_id).glob("*/checkpoints/*"):
            if self.relative(path) not in needed:
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
