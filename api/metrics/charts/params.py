"""Query parameters of the routes for charts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.http.problems import invalid
from optcore.spec.errors import short_repr
from optserve.contract.answers.charts import MAX_POINTS, MIN_POINTS

MaxPoints = Annotated[
    int,
    Query(ge=MIN_POINTS, le=MAX_POINTS, description="Maximum number of points per curve."),
]


def require_range(first: float | None, last: float | None, end: float | None) -> None:
    """
    Raise an error if *first* to *last* is not a range on the axis.

    Args:
        first: beginning of the range; None for the beginning of the axis.
        last: end of the range; None for the end of the axis.
        end: the end of the axis, which *first* and *last* must be below; None if it is unknown.
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
    """Return a number as text, without a trailing .0."""
    return short_repr(int(number) if number % 1 == 0 else number)
