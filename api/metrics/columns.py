"""Query parameters that name columns of a job; a request may name each column only once."""

from __future__ import annotations

from collections.abc import Sequence

from api.http.params import require_once
from api.http.problems import invalid
from optcore.spec.errors import did_you_mean, short_repr
from store.jobs.record import Record


def columns_of(record: Record, texts: Sequence[str], *, also: Sequence[str] = ()) -> list[str]:
    """
    Return the names of the requested columns, in the order of the request.

    If no column is requested, return the names of all columns of the job.

    Args:
        record: the record of the job.
        texts: the values of the query parameter, each with one or more names (``loss,lr``).
        also: names to accept besides those of the job's columns.
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        _require_column(record, name, also)
    require_once("columns", names)
    return names or list(record.series.columns)


def _require_column(record: Record, name: str, also: Sequence[str]) -> None:
    known = (*also, *record.series.columns)
    if name not in known:
        message = (
            f"columns must be among {', '.join(known)} for job {record.id}, "
            f"got {short_repr(name)}{did_you_mean(name, known)}"
        )
        raise invalid("columns", message, name)
