"""Packages of an operator: folders in which they are installed, and processes that have them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from optcore.packages import entry_points
from tests.support.checkout import ROOT

PAGE = ROOT / "docs" / "extending.md"
FILES = re.compile(
    r"`([\w./]+)`(?: is empty| (?:has|is)[^`]*:|:)\n*(?:```\w+\n(.*?)```)?", re.DOTALL
)
"""Files on the page: the name in a sentence, and the block below it."""


def example() -> dict[str, str]:
    """Return name -> content for the files of the package in docs/extending.md."""
    text = PAGE.read_text().partition("## A whole package")[2].partition("## Rules")[0]
    return {"operators/__init__.py": ""} | {
        name: content for name, content in FILES.findall(text) if content
    }


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process know of no installed packages until the test ends."""
    monkeypatch.setattr(entry_points, "_packages", {})
    monkeypatch.setattr(entry_points, "_problems", {})


def install(
    folder: Path,
    files: Mapping[str, str],
    *,
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
    name: str = "operators",
    version: str = "1.0",
) -> None:
    """
    Install a distribution into *folder*, as pip would.

    Args:
        folder: a folder of ``sys.path``.
        files: name -> content; a ``pyproject.toml`` is read, and not installed.
        entry_points: group -> name -> value; by default those of ``pyproject.toml``.
        name: name of the distribution.
        version: its version.
    """
    if entry_points is None:
        project = tomllib.loads(files["pyproject.toml"])["project"]
        entry_points, name = project["entry-points"], project["name"]
    for file, content in files.items():
        if file != "pyproject.toml":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(content)
    about = folder / f"{name}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in entry_points.items()
    )
    (about / "entry_points.txt").write_text(text)


def python(folder: Path, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with *args* where the packages in *folder* are installed."""
    return subprocess.run(
        [sys.executable, "-P", *args],
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
