"""The names of the metrics that evaluations of a job have."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from api.http.params import require_once
from api.http.problems import invalid
from api.metrics.evaluations.reader import EvaluationReader
from optcore.metrics.catalogue import metrics
from optcore.spec.errors import SpecError, did_you_mean, short_repr
from optcore.spec.evaluation import FORM
from store.jobs.record import Record


def planned(record: Record) -> list[str]:
    """
    Return the names of the numeric metrics that the job's evaluations will have.

    The list is empty if the job's spec names a metric that the service no longer has, because the
    package with this metric was removed.
    """
    try:
        spec = record.spec
    except (SpecError, ValidationError):
        return []
    training, known = spec.training, metrics()
    val = spec.dataset.validation_examples > 0 and not training.chooses_by_test
    return [
        f"{ema}{split}_{name}"
        for split in (*(("val",) if val else ()), "test")
        for ema in ("", *(("ema_",) if training.shadow_ema is not None else ()))
        for name in spec.metric_names
        # A confusion matrix cannot be drawn as a curve.
        if known[name].IS_NUMBER
    ]


def known(record: Record, measured: Sequence[str]) -> list[str]:
    """Return the names in *measured*, then those of the job's other planned metrics."""
    return list(dict.fromkeys([*measured, *planned(record)]))


def metrics_of(record: Record, measured: Sequence[str], texts: Sequence[str]) -> list[str]:
    """
    Return the names of the requested metrics, in the order of the request.

    If no metric is requested, return *measured*.

    Args:
        record: the record of the job.
        measured: the names of the metrics that were measured so far.
        texts: the values of the query parameter, each with one or more names (as in
            ``val_loss,val_r2``).
    """
    names = [name.strip() for text in texts for name in text.split(",")]
    if not names:
        return list(measured)
    choices = known(record, measured)
    for name in names:
        if name not in choices:
            message = (
                f"evaluations must be among {', '.join(choices)} for job {record.id}, "
                f"got {short_repr(name)}{did_you_mean(name, choices)}"
            )
            raise invalid("evaluations", message, name)
    require_once("evaluations", names)
    return names


async def require_compared(
    reader: EvaluationReader, record: Record, name: str, *, evaluated: bool
) -> None:
    """
    Raise an error if the job does not have the column or metric *name*, by which jobs are compared.

    Args:
        reader: the reader of evaluations, which knows the measured metrics of the job.
        record: the record of the job.
        name: the value of the parameter ``column``.
        evaluated: whether *name* must be a metric of evaluations; if false, a column of the job.
    """
    columns = list(record.series.columns)
    if not evaluated and name in columns:
        return
    choices = known(record, await reader.names(record))
    if not evaluated or name not in choices:
        listed = [*columns, *choices]
        message = (
            f"column must be among {', '.join(listed)} for job {record.id}, "
            f"got {short_repr(name)}{did_you_mean(name, listed)}"
        )
        raise invalid("column", message, name)


def higher_is_better(name: str) -> bool | None:
    """Return whether a higher value of the metric *name* is better; None if it is not known."""
    found = FORM.fullmatch(name)
    metric = metrics().get(found["name"]) if found else None
    return metric.HIGHER_IS_BETTER if metric else None
