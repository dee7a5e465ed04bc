"""One text for equal values: what `json.dumps` gives with sorted names, part by part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

SLICE = 10_000
"""Numbers or texts that are written at a time: Python does nothing else meanwhile."""


def parts(value: object) -> Iterator[str]:
    """Yield the text of *value*, which JSON can say, in parts."""
    if isinstance(value, dict):
        yield "{"
        for i, name in enumerate(sorted(value)):
            yield f"{', ' if i else ''}{json.dumps(name)}: "
            yield from parts(value[name])
        yield "}"
    elif isinstance(value, list):
        yield "["
        yield from _entries(value)
        yield "]"
    else:
        yield json.dumps(value)


def sha256(value: object) -> str:
    """Return the SHA-256 of the text of *value*."""
    found = hashlib.sha256()
    for part in parts(value):
        found.update(part.encode())
    return found.hexdigest()


def _entries(values: list[object]) -> Iterator[str]:
    plain = not any(isinstance(value, (dict, list)) for value in values)
    for start in range(0, len(values), SLICE if plain else 1):
        if start:
            yield ", "
        if plain:
            yield json.dumps(values[start : start + SLICE])[1:-1]
        else:
            yield from parts(values[start])
