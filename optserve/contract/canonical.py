"""Canonical JSON: the text that `json.dumps` with `sort_keys=True` would return."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

SLICE = 10_000
"""Number of list entries encoded at a time: encoding a long list at once would hold the GIL for
long."""


# The text must not change: the store keeps its hash with each idempotency key, and a request that
# is repeated after an upgrade would conflict with itself.
def parts(value: object) -> Iterator[str]:
    """Yield the canonical text of *value* in parts; *value* must be representable as JSON."""
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
    """Return the SHA-256 of the canonical text of *value*, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts(value):
        digest.update(part.encode())
    return digest.hexdigest()


def _entries(values: list[object]) -> Iterator[str]:
    # Entries that are lists or objects may be long themselves, and are written one by one.
    plain = not any(isinstance(value, (dict, list)) for value in values)
    for start in range(0, len(values), SLICE if plain else 1):
        if start:
            yield ", "
        if plain:
            yield json.dumps(values[start : start + SLICE])[1:-1]
        else:
            yield from parts(values[start])
