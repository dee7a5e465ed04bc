"""Reading what the server's functions answer, and writing what they are given."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from store.jobs.record import Record
from store.redis.functions import Fenced, Gap, ReplayDiffers


def text(value: bytes) -> str:
    """Return a word of an answer."""
    return value.decode()


def texts(values: list[bytes]) -> list[str]:
    """Return several."""
    return [text(value) for value in values]


def as_record(flat: list[bytes]) -> Record | None:
    """Return the record of a hash that came as a flat list, or None if it is empty."""
    # Within a function HGETALL gives a flat list, whichever protocol the client speaks.
    return Record.from_hash(dict(zip(flat[::2], flat[1::2], strict=True))) if flat else None


def accepted(reply: list[Any]) -> None:
    """Read an answer that only says whether the write was taken; raises as `checked`."""
    checked(reply)


def checked(reply: list[Any]) -> list[Any]:
    """
    Return the answer to a write of an attempt, if it was taken.

    Raises:
        Fenced: the job belongs to another attempt, or to none.
        Gap: there are fewer rows than the write continues from.
        ReplayDiffers: what was stored before is not what was computed again.
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
    """Return *data* as JSON; NaN and infinities are the strings that clients know."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    # Only the top level is looked at: a number below it that is not finite raises, by
    # `allow_nan=False`, where else a reader would get what is no JSON.
    plain = {
        name: names[str(value)] if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in data.items()
    }
    return json.dumps(plain, allow_nan=False)
