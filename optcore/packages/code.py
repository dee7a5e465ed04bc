"""
The code of installed packages that imports torch.

Specs are read where torch is not installed. So a class that a package adds names its code, as the
text ``module:function`` in its attribute ``CODE``, and only a trainer imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pkgutil import resolve_name
from typing import Any

from optcore.packages.entry_points import PackageError, added, first_line, package_of

CODE = "CODE"
"""Name of the attribute."""


@cache
def code_of(each: type) -> Callable[..., Any]:
    """
    Return the function that ``CODE`` of the class *each* names.

    Raises:
        PackageError: there is no such function, or it cannot be imported.
    """
    name = getattr(each, CODE)
    where = f"{package_of(each)}: {CODE} = {name} of {each.__module__}.{each.__name__}"
    try:
        found = resolve_name(name)
    # Any exception, for it is other people's code.
    except Exception as error:
        raise PackageError(f"{where}: {first_line(error)}") from error
    if not callable(found):
        raise PackageError(f"{where}: must be a function, got {found!r}")
    return found  # type: ignore[no-any-return]  # a callable


def import_all() -> list[str]:
    """Import the code of all classes that were added; return a text for each that fails."""
    failed = []
    for each in added():
        if hasattr(each, CODE):
            try:
                code_of(each)
            except PackageError as error:
                failed.append(str(error))
    return failed
