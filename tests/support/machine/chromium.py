"""A real browser: Chromium without a window, which reaches this machine and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

TIMEOUT_S = 120
QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-default-apps", "--disable-extensions"),
)


class Seen(NamedTuple):
    """
    What became of a page.

    Attributes:
        dom: as it is in the end.
        console: what the browser and the page's scripts have said about it.
    """

    dom: str
    console: list[str]


def visit(url: str, profile: Path, *, names: Mapping[str, str] | None = None) -> Seen:
    """
    Return what becomes of the page at *url*; skip the test without Chromium.

    Args:
        url: of it.
        profile: an empty folder.
        names: names that point to addresses; there are no others but 127.0.0.1 and localhost.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is needed")
    rules = [f"MAP {name} {address}" for name, address in (names or {}).items()]
    known = ["EXCLUDE 127.0.0.1", "EXCLUDE localhost"]
    done = subprocess.run(
        [
            chromium,
            *QUIET,
            f"--user-data-dir={profile}",
            "--host-resolver-rules=" + ",".join([*rules, "MAP * ~NOTFOUND", *known]),
            "--enable-logging=stderr",
            "--v=0",
            "--virtual-time-budget=60000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(done.stdout, console)
