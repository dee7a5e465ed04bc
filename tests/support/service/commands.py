"""The `optserve` command as a person uses it: real processes, 80 columns."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

COMMAND = [sys.executable, "-P", "-m", "optserve"]


def optserve(
    *args: str,
    home: Path,
    stdin: str = "",
    data: Path | None = None,
    variables: Mapping[str, str] | None = None,
    within_s: float = 200,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *args],
        env={**environment(home, data), **(variables or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def environment(home: Path, data: Path | None = None) -> dict[str, str]:
    """Return the variables for a command on *home*."""
    own = {"OPTSERVE_HOME": str(home), "COLUMNS": "80", "OPTSERVE_PORT": "0"}
    return {**os.environ, **own, **({"OPTSERVE_DATA": str(data)} if data else {})}


def chaos(*args: str, home: Path, within_s: float = 200) -> subprocess.CompletedProcess[str]:
    """Run a soak to its end; the benchmarks are in the checkout alone."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *args],
        cwd=Path(__file__).parents[3],
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


@contextmanager
def started(
    *args: str, home: Path, folder: Path | None = None, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Give a command that runs on; killed at the end if it still does."""
    process = subprocess.Popen(
        [*COMMAND, *args],
        env={**environment(home), **variables},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ready(process: subprocess.Popen[str]) -> str:
    """Return the URL that `optserve up` prints once it is ready."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"ready at (http://\S+)", line)
    assert found, line
    assert httpx.get(f"{found[1]}/readyz").status_code == 200
    return found[1]
