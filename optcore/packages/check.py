"""
Checks what installed packages add: ``python -m optcore.packages.check``.

The command prints a line for each problem, and exits with EX_CONFIG (78) if there are any.

The command also imports code that needs torch. If torch is not installed, the command leaves this
code out and prints a line that says so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec

from optcore.metrics.catalogue import metrics
from optcore.packages.code import import_all
from optcore.packages.entry_points import added, package_of, problems
from optcore.spec.run import RunSpec


def all_problems() -> list[str]:
    """Return a text for each entry point of an installed package that cannot be used."""
    assert RunSpec.model_fields  # its import has loaded all groups but that of metrics
    metrics()
    return problems()


def load_all() -> list[str]:
    """Import all classes that packages add, and their code; return a text for each problem."""
    return [*all_problems(), *import_all()]


def missing(needed: Mapping[str, str]) -> list[str]:
    """
    Return a text for each needed package that is not installed in the needed version.

    Args:
        needed: name -> version, as `RunSpec.packages` has them.
    """
    all_problems()  # loads all groups
    packages = [package for package in map(package_of, added()) if package is not None]
    here = {package.name: package.version for package in packages}
    return [
        f"{name} {version} must be installed, got "
        + (f"version {here[name]}" if name in here else "no such package")
        for name, version in needed.items()
        if here.get(name) != version
    ]


def main() -> None:
    """Print all problems, and exit with `os.EX_CONFIG` if there are any, else with 0."""
    if find_spec("torch"):
        found = load_all()
    else:  # as in the image of the API, which has only the specs' dependencies
        found = all_problems()
        sys.stdout.write("torch is not installed here: code that needs it was not imported\n")
    sys.stdout.write("".join(f"{each}\n" for each in found))
    sys.exit(os.EX_CONFIG if found else 0)


if __name__ == "__main__":
    main()
