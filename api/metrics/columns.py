"""Columns of a job's series: a request may name only those that the job has, each once."""

from __future__ import annotations

from collections.abc import Sequence

from api.http.params import require_once
from api.http.problems import invalid
from optcore.spec.errors import did_you_mean, short_repr
from store.jobs.record import Record


def columns_of(record: Record, asked: Sequence[str], *, also: Sequence[str] = ()) -> list[str]:
    """
    Return the columns that are asked for, in that order; all of the job's for none.

    Args:
        record: of the job.
        asked: texts that name one or several (``loss,lr``).
        also: what may be named besides the job's columns.
    """
    names = [name.strip() for text in asked for name in text.split(",")]
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
