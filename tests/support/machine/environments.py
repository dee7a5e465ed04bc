"""Virtual environments that are empty, and then hold what a test puts into them."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

INSTALL_S = 900
"""Seconds that an installation may take: torch is large."""


class Environment:
    """
    A virtual environment of this interpreter, without pip.

    Attributes:
        bin: where its commands lie.
        packages: where its modules lie.
    """

    def __init__(self, folder: Path) -> None:
        """Make it in *folder*."""
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        (self.packages,) = folder.glob("lib/python*/site-packages")

    def install(self, *requirements: str) -> subprocess.CompletedProcess[str]:
        """Let the pip of the tests install into it."""
        pip = [sys.executable, "-m", "pip", f"--python={self.bin / 'python'}", "install", "-q"]
        return subprocess.run(
            [*pip, *requirements],
            env=variables(),
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )

    def link(self, requirements: Iterable[str]) -> None:
        """
        Put in what *requirements* ask for, and what that needs, by links to what the tests have.

        Nothing else of theirs can be imported, as if it had been installed from an index.
        """
        for name in closure(requirements):
            distribution = metadata.distribution(name)
            for first in {file.parts[0] for file in distribution.files or ()} - {".."}:
                link = self.packages / first
                if not link.exists():
                    link.symlink_to(Path(str(distribution.locate_file(first))).resolve())

    def run(
        self, command: str, *args: str, folder: Path, within_s: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to its end, in *folder*."""
        return subprocess.run(
            [self.bin / command, *args],
            cwd=folder,
            env=variables(**more),
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )


def variables(**more: str) -> Mapping[str, str]:
    """Return the environment variables of this process, but for those that bring its modules."""
    return {name: v for name, v in os.environ.items() if name != "PYTHONPATH"} | more


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of what *requirements* ask for, and of what that asks for in turn."""
    found: set[str] = set()
    pending = list(requirements)
    while pending:
        wanted = Requirement(pending.pop())
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        if wanted.name not in found:
            found.add(wanted.name)
            pending += metadata.requires(wanted.name) or []
    return found
