"""
Installed packages that add to what jobs may name, checked before a service process starts.

A process with a broken package would refuse or fail jobs that are correct.
"""

from __future__ import annotations

import os
import subprocess
import sys

from optcore.packages.check import all_problems
from optcore.packages.entry_points import added, package_of

TODO = "repair the package, or remove it"


def packages() -> list[str]:
    """Return name and version of each package that adds something, sorted."""
    return sorted({str(package_of(each)) for each in added()})


def package_problems(*, code: bool) -> list[str]:
    """
    Return a text for each entry point of an installed package that cannot be used.

    Args:
        code: whether to check code that needs torch, too. This code is imported in a child process.
    """
    found = all_problems()
    if found or not code or not added():
        return found
    done = subprocess.run(
        [sys.executable, "-P", "-m", "optcore.packages.check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, os.EX_CONFIG):
        last = "".join(done.stderr.splitlines()[-1:])
        return [f"{', '.join(packages())}: the check ended with {done.returncode}: {last}"]
    return done.stdout.splitlines()


def require_packages(*, code: bool = False) -> None:
    """End this process with the exit code EX_CONFIG if `package_problems` finds a problem."""
    found = package_problems(code=code)
    if found:
        sys.stderr.write(f"{'; also '.join(found)}; {TODO}\n")
        sys.exit(os.EX_CONFIG)
