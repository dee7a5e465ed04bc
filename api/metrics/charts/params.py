"""What a chart is asked for, and what is wrong with it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.http.problems import invalid
from optcore.spec.errors import short_repr
from optserve.contract.answers.charts import MIN_POINTS, MAX_POINTS

MaxPoints = Annotated[
    int,
    Query(ge=MIN_POINTS, le=MAX_POINTS, description="Of a curve, at most: two of a bucket."),
]


def require_range(first: float | None, last: float | None, end: float | None) -> None:
    """
    Raise unless the range from *first* to *last* is one.

    Args:
        first: None for the beginning.
        last: None for the end.
        end: both must be below it; None if nobody knows where it is.
    """
    if end is not None:
        for name, value in (("first", first), ("last", last)):
            if value is not None and value >= end:
                message = f"{name} must be below {_plain(end)}, got {_plain(value)}"
                raise invalid(name, message, value)
    if first is not None and last is not None and last < first:
        message = f"last must be at least first ({_plain(first)}), got {_plain(last)}"
        raise invalid("last", message, last)


def _plain(number: float) -> str:
    """Return a number as a person writes it: 10 for 10.0."""
    return short_repr(int(number) if number % 1 == 0 else number)
