"""What a chart is asked for, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Query
from fastapi.exceptions import RequestValidationError

from jobs.record import Record
from jobs.spec.charts import FEWEST_POINTS, MOST_POINTS
from optcore.spec.errors import RULE, did_you_mean, shown

MaxPoints = Annotated[
    int,
    Query(ge=FEWEST_POINTS, le=MOST_POINTS, description="Of a curve, at most: two of a bucket."),
]


def mistake(name: str, message: str, value: object) -> RequestValidationError:
    """Return the error that says what is wrong with a query parameter."""
    return RequestValidationError(
        [{"type": RULE, "loc": ("query", name), "msg": message, "input": value}]
    )


def columns_of(record: Record, asked: Sequence[str]) -> list[str]:
    """Return the columns that are *asked* for, each text one or several; all of them for none."""
    names = [name.strip() for text in asked for name in text.split(",")]
    for name in names:
        require_column(record, name, "columns")
    require_once("columns", names)
    return names or list(record.series.columns)


def require_column(record: Record, name: str, param: str) -> None:
    """Raise unless a job has the column *name*."""
    known = record.series.columns
    if name not in known:
        message = (
            f"{param} must be among {', '.join(known)} for job {record.id}, "
            f"got {shown(name)}{did_you_mean(name, known)}"
        )
        raise mistake(param, message, name)


def require_once(param: str, names: Sequence[str]) -> None:
    """Raise unless each of *names* is another one."""
    for i, name in enumerate(names):
        if name in names[:i]:
            raise mistake(param, f"{param} must be named once, got {shown(name)} twice", name)


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
                raise mistake(name, message, value)
    if first is not None and last is not None and last < first:
        message = f"last must be at least first ({_plain(first)}), got {_plain(last)}"
        raise mistake("last", message, last)


def _plain(number: float) -> str:
    """Return a number as a person writes it: 10 for 10.0."""
    return shown(int(number) if number % 1 == 0 else number)
