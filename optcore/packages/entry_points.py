"""
Classes that installed packages add, by entry points.

Each catalogue that packages may extend has a group of entry points: ``optserve.layers``,
``optserve.models``, ``optserve.losses``, ``optserve.datasets`` and ``optserve.metrics``. An entry
point names a class.

An entry point that cannot be used is left out, so that a broken package does not disable the
command and the client. `problems` returns the reason. An error about an unknown name mentions the
first problem. The service does not start if there is a problem (`store.packages`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from re import compile as pattern

NAMES = pattern(r"[a-z][a-z0-9_]{0,63}")
"""Names that a package may give to what it adds."""


@dataclass(frozen=True, order=True)
class Package:
    """
    An installed package.

    Attributes:
        name: name of the distribution.
        version: version of the distribution.
    """

    name: str
    version: str

    def __str__(self) -> str:
        """Return name and version: ``operators 1.0``."""
        return f"{self.name} {self.version}"


class PackageError(Exception):
    """The code of an installed package does not do what its classes declare."""


# Of this process: a package that is installed again meanwhile does not change what was loaded.
_packages: dict[type, Package] = {}
_problems: dict[str, list[str]] = {}


def installed(group: str, check: Callable[[object], None]) -> list[type]:
    """
    Return the classes that the entry points of *group* name.

    Args:
        group: the group of entry points.
        check: a function that raises TypeError if an object is not a class that may be in the
            group. The text of the error says what the object must be.
    """
    found: list[type] = []
    _problems[group] = []
    for entry in entry_points(group=group):
        package = _package(entry)
        try:
            each = entry.load()
            check(each)
        # Any exception, for it is other people's code.
        except Exception as error:
            why = first_line(error)
            _problems[group].append(
                f"{package}: entry point {entry.name} = {entry.value} of {group}: {why}"
            )
        else:
            _packages[each] = package
            found.append(each)
    return found


def first_line(error: Exception) -> str:
    """Return the first line of the text of *error*; its type if it has no text."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def raised(each: type, error: Exception) -> str:
    """Return a text about *error*, which the class *each* of a package has raised."""
    name = f"{each.__module__}.{each.__name__}"
    return f"{package_of(each)}: {name} raised {type(error).__name__}: {first_line(error)}"


def problems() -> list[str]:
    """
    Return a text for each entry point that cannot be used, in the groups that have been loaded.

    A text has the package, its version, the entry point and what is wrong with it.
    """
    return [text for texts in _problems.values() for text in texts]


def broken() -> str:
    """Return what an error about an unknown name ends with: the first problem, or an empty text."""
    found = problems()
    return f" (a package cannot be used: {found[0]})" if found else ""


def package_of(each: type) -> Package | None:
    """Return the package that added the class *each*; None if the class is optserve's own."""
    return _packages.get(each)


def added() -> list[type]:
    """Return the classes that packages have added, in the groups that have been loaded."""
    return list(_packages)


def packages_of(classes: Iterable[type]) -> dict[str, str]:
    """Return name -> version of the packages that added any of *classes*, sorted by name."""
    if not _packages:
        return {}
    found = {_packages[each] for each in set(classes) & _packages.keys()}
    return {package.name: package.version for package in sorted(found)}


def _package(entry: EntryPoint) -> Package:
    # Only an entry point that somebody made by hand has none.
    return Package("?", "?") if entry.dist is None else Package(entry.dist.name, entry.dist.version)
