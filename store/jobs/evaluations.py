"""The evaluations in a job's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json

from optcore.spec.evaluation import FORM
from optcore.spec.former.translation import translated
from optcore.spec.tasks.losses import LOSSES
from optserve.contract.history import EventKind
from store.jobs.record import Record, moment

FORMER_NAMES = {
    "test_loss": "loss",
    "test_accuracy": "accuracy",
    "test_sequence_accuracy": "accuracy",
    "test_top_k": "top_k",
    "test_confusion": "confusion",
    "ema_test_loss": "ema_loss",
    "ema_test_accuracy": "ema_accuracy",
    "ema_test_sequence_accuracy": "ema_accuracy",
}
"""
Maps metrics to their names in the histories of releases up to 0.2.0, in the order in which these
wrote them.

A run has either the accuracy or the sequence accuracy.
"""
# The server writes each entry as at, kind, data, so the kind of an entry is found without parsing.
EVALUATED, TRUNCATED = (
    f'"kind":"{kind}"'.encode() for kind in (EventKind.EVALUATED, EventKind.ROWS_CUT)
)


class StoredEvaluation(NamedTuple):
    """
    An evaluation in a job's history.

    Attributes:
        number: number of the entry in the history.
        step: number of steps made before the evaluation.
        stored_ms: when the evaluation was stored, as in the entry: milliseconds since 1970.
        metrics: value of each metric that is a number.
    """

    number: int
    step: int
    stored_ms: str
    metrics: Mapping[str, float]

    @property
    def at(self) -> datetime:
        """When the evaluation was stored."""
        # Made only when it is shown: a chart reads all evaluations of a job, and shows none of it.
        at = moment(self.stored_ms)
        assert at is not None  # every entry has its time
        return at


class StoredTruncation(NamedTuple):
    """
    A truncation in a job's history.

    Evaluations in earlier entries are void if they were made after more than *step* steps.

    Attributes:
        number: number of the entry in the history.
        step: number of steps whose rows were not removed.
    """

    number: int
    step: int


def names_in(record: Record) -> dict[str, str]:
    """Map the names that releases up to 0.2.0 gave the job's metrics to their present names."""
    loss = translated(from_json(record.fields["spec"]))["training"].get("loss", {}).get("kind")
    of_sequences = loss in LOSSES and LOSSES[loss].OF_SEQUENCES
    other = "test_accuracy" if of_sequences else "test_sequence_accuracy"
    return {old: new for new, old in FORMER_NAMES.items() if not new.endswith(other)}


def evaluations_in(
    entries: Sequence[bytes], first: int, former: Mapping[str, str]
) -> Iterator[StoredEvaluation | StoredTruncation]:
    """
    Yield the evaluations and truncations among entries of a history, in order.

    Args:
        entries: consecutive entries of a history, as they are stored.
        first: number of the first of *entries*.
        former: names of metrics in older entries -> present names, as `names_in` returns them.
    """
    for number, entry in enumerate(entries, first):
        if EVALUATED not in entry and TRUNCATED not in entry:
            continue
        fields = from_json(entry)
        data = fields["data"]
        if fields["kind"] == EventKind.EVALUATED:
            yield StoredEvaluation(number, data["step"], str(fields["at"]), _numbers(data, former))
        elif fields["kind"] == EventKind.ROWS_CUT:
            yield StoredTruncation(number, data["from"])


def _numbers(data: Mapping[str, Any], former: Mapping[str, str]) -> dict[str, float]:
    """Return the metrics that are numbers in the data of an entry, by their present names."""
    return {
        former.get(name, name): float(value)  # also of the texts NaN, Infinity and -Infinity
        for name, value in data.items()
        if not isinstance(value, list) and (name in former or _is_metric(name))
    }


@lru_cache(maxsize=1024)
def _is_metric(name: str) -> bool:
    return FORM.fullmatch(name) is not None
