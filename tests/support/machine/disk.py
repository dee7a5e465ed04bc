"""A small disk that can be filled, where this process may mount one."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BLOCK = 64 * 1024


class Disk:
    """
    A file system of its own.

    Attributes:
        root: where it is mounted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self, *, but: int = 0) -> None:
        """Leave *but* bytes free."""
        with self._ballast.open("wb") as file, contextlib.suppress(OSError):
            while shutil.disk_usage(self.root).free > but:
                file.write(b"x" * min(BLOCK, max(4096, shutil.disk_usage(self.root).free - but)))
                file.flush()

    def free(self) -> None:
        """Give the space back."""
        self._ballast.unlink()


@contextlib.contextmanager
def small_disk(root: Path, megabytes: int) -> Iterator[Disk]:
    """Mount a small file system at *root*; skip the test where that is not allowed."""
    root.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(root)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)
