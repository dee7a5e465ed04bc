"""The column parameter: a request may name each column of the job once."""

from __future__ import annotations

from collections.abc import Sequence

from api.http.params import require_once
from api.http.problems import invalid
from optcore.spec.errors import did_you_mean, short_repr
from store.jobs.record import Record


def columns_of(record: Record, texts: Sequence[str], *, also: Sequence[str] = ()) -> list[str]:
    """
    Return the requested columns in order; all columns of the job if none is requested.

    Args:
        record: of the job.
        texts: each with one name or several (``loss,lr``).
        also: further names to accept.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        require_column(record, name, "columns", also=also)
    require_once("columns", names)
    return names or list(record.series.columns)


def require_column(record: Record, name: str, param: str, *, also: Sequence[str] = ()) -> None:
    """Raise unless a job has the column *name*, or it is one of *also*."""
    known = (*also, *record.series.columns)
    if name not in known:
        message = (
            f"{param} must be among {', '.join(known)} for job {record.id}, "
            f"got {short_repr(name)}{did_you_mean(name, known)}"
        )
        raise invalid(param, message, name)
