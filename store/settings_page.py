"""
Write the documentation page about settings: ``python -m store.settings_page docs/settings.md``.

The page is generated from `store.settings.Settings`; a test checks that it is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from store.settings import Settings

HEAD = """\
# Settings

Every setting is an environment variable. A variable that is not listed here has no effect, and a
value that is not allowed ends the process with exit code 78 and a line that says why. API, workers
and control processes read the same settings; each uses only some of them. For compose, see also
[containers.md](containers.md#what-can-be-set).

| variable | type | default | meaning |
|---|---|---|---|
"""
TYPES = {Path: "path", str: "text", int: "integer", float: "number", list: "JSON list"}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most"}


def page() -> str:
    """Return the page's Markdown: one table row per setting, in the order of the class."""
    return HEAD + "".join(_row(name, field) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo) -> str:
    # A | ends a cell of a Markdown table, also within backticks.
    text = " ".join((field.description or "").replace("``", "`").split()).replace("|", "\\|")
    cells = (f"`OPTSERVE_{name.upper()}`", _type(field), _default(field), text)
    return f"| {' | '.join(cells)} |\n"


def _type(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) is UnionType:
        # Raises for a union of two types, for which the table has no form yet.
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    if get_origin(kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    return ", ".join((TYPES[get_origin(kind) or kind], *_bounds(field)))


def _bounds(field: FieldInfo) -> Iterator[str]:
    for bound in field.metadata:
        for name, word in BOUNDS.items():
            if (value := getattr(bound, name, None)) is not None:
                yield f"{word} {value}"


def _default(field: FieldInfo) -> str:
    match field.default:
        case None:
            return ""
        case int() | float() as number:
            return f"{number:.10g}"
        case other:
            return f"`{other}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page())
