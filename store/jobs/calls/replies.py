"""Parses the replies of the Lua functions, and writes their JSON arguments."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from store.jobs.record import Record
from store.redis.functions import Fenced, Gap, ReplayDiffers


def text(value: bytes) -> str:
    """Return a value from a reply as text."""
    return value.decode()


def texts(values: list[bytes]) -> list[str]:
    """Return several values from a reply as text."""
    return [text(value) for value in values]


def as_record(flat: list[bytes]) -> Record | None:
    """Return the record in *flat*, a list of names and values; None if the list is empty."""
    # Within a function HGETALL returns a flat list, whichever protocol the client speaks.
    return Record.from_hash(dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None


def accepted(reply: list[Any]) -> None:
    """Raise the errors of `checked` if *reply* says that an attempt's write was not accepted."""
    checked(reply)


def checked(reply: list[Any]) -> list[Any]:
    """
    Return *reply*, the server's reply to an attempt's write; raise an error if it was refused.

    Raises:
        Fenced: the job belongs to another attempt, or to none.
        Gap: fewer rows are stored than the write requires.
        ReplayDiffers: a step was computed again, and its result differs from the stored one.
    """
    # Any other word (ok, already, stale) means that the store has what was sent.
    outcome = text(reply[0])
    if outcome == "fenced":
        raise Fenced
    if outcome == "gap":
        raise Gap(int(reply[1]))
    if outcome == "differs":
        raise ReplayDiffers(int(reply[1]))
    return reply


def json_text(data: Mapping[str, Any]) -> str:
    """Return *data* as JSON; NaN and infinities become the strings NaN, Infinity, -Infinity."""
    return json.dumps(_plain(data), allow_nan=False)


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
