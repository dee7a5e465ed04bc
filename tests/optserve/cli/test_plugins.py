"""Commands of other distributions that cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]
MODULES = {
    "needs": ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
    "lacks": ("", "module 'lacks' has no attribute 'command'"),
    "raises": ("raise RuntimeError('not on this machine')", "not on this machine"),
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command where a distribution adds the commands in `MODULES`."""
    about = tmp_path / "odd_tools-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-tools\nVersion: 1.0\n")
    points = "".join(f"{name} = {name}:command\n" for name in MODULES)
    (about / "entry_points.txt").write_text(f"[optserve.commands]\n{points}")
    for name, (code, _) in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-P", "-m", "optserve", *args],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("name", MODULES)
def test_a_command_that_cannot_be_imported_says_whose_it_is(run: Run, name: str) -> None:
    done = run(name, "anything", "--port", "0")

    assert done.returncode == 1
    assert done.stderr == (
        f"optserve {name} cannot run: {name}:command cannot be imported: {MODULES[name][1]}.\n"
        "This command comes from odd-tools: install that package again, or remove it.\n"
    )


def test_the_other_commands_stay(run: Run) -> None:
    done = run("--help")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("(It cannot be imported.)") == len(MODULES)
    assert "Start the service on this machine" in done.stdout
    assert "The service is not installed." not in done.stdout
