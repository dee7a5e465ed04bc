"""Checks of the installed packages that add layers, networks, losses, datasets or metrics."""

from __future__ import annotations

from collections.abc import Iterator

from optserve.local.doctor.findings import Finding, Home
from store.packages import TODO, package_problems, packages


def check_packages(home: Home) -> Iterator[Finding]:
    """Check that everything that installed packages add can be used."""
    del home
    found = package_problems(code=True)
    for problem in found:
        yield Finding("packages", problem, TODO)
    if not found and packages():
        yield Finding("packages", f"{', '.join(packages())} can be used")
