"""Evaluation: which metric chooses the best checkpoint, ends a run early or changes lr."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from optcore.metrics.catalogue import metrics
from optcore.spec.base import Spec
from optcore.spec.errors import RULE, did_you_mean
from optcore.spec.limits import MAX_COUNT

FORMER_METRICS = ("test_loss", "test_accuracy", "ema_loss", "ema_accuracy")
"""Metrics by which runs of releases up to 0.2.0 chose: they had no validation split."""
TRAIN_LOSS = "train_loss"
"""A metric that a schedule may observe without validation examples."""
FIELDS = frozenset({"top_k", "confusion"})
"""Metrics that a run requests by a field of their own."""
FORM = re.compile(r"(?P<ema>ema_)?(?P<split>val|test)_(?P<name>.+)")

# Per context, not per process: the API parses specs in several threads at a time.
_choosing_by_test: ContextVar[bool] = ContextVar("choosing_by_test", default=False)


@contextmanager
def choosing_by_test() -> Iterator[None]:
    """
    Let runs that are parsed inside a ``with`` block choose by metrics of the test split.

    Runs of releases up to 0.2.0 had no validation split: they evaluated the test examples and chose
    by the results. A job that such a release accepted keeps its evaluations.
    """
    before = _choosing_by_test.set(True)
    try:
        yield
    finally:
        _choosing_by_test.reset(before)


def chooses_by_test() -> bool:
    """Return whether this code runs inside a `choosing_by_test` block."""
    return _choosing_by_test.get()


class MetricName(NamedTuple):
    """
    The parts of the name of a measured quantity, such as ``ema_val_loss``.

    Attributes:
        ema: whether the quantity is measured with the averaged weights.
        split: the split on which the quantity is measured, ``val`` or ``test``.
        name: the name of the metric.
    """

    ema: bool
    split: str
    name: str

    @classmethod
    def of(cls, text: str) -> MetricName:
        """Return the parts of *text*, which `_chooses` has accepted."""
        if text in FORMER_METRICS:
            return cls(text.startswith("ema_"), "test", text.rpartition("_")[2])
        found = FORM.fullmatch(text)
        assert found is not None, text
        return cls(bool(found["ema"]), found["split"], found["name"])

    @property
    def higher_is_better(self) -> bool:
        """Whether a higher value of the metric is better."""
        return metrics()[self.name].HIGHER_IS_BETTER


def choosing_names(metric: str) -> list[str]:
    """Return the names of *metric* by which a run may choose: after ``val_`` or ``ema_val_``."""
    return [f"{ema}val_{metric}" for ema in ("", "ema_")]


def _chooses(text: str, info: ValidationInfo) -> str:
    """Return *text* if it names a number that is measured on the validation split."""
    if chooses_by_test() and text in FORMER_METRICS:
        return text
    names = _all_choosing_names()
    if text in names:
        return text
    found = FORM.fullmatch(text)
    if found is not None and found["split"] == "test":
        rule = (
            "must be measured on the validation examples (dataset.validation), since test examples "
            "must not choose"
        )
        nearest = text.replace("test_", "val_", 1)
    else:
        rule = "must be val_ or ema_val_ followed by the name of a metric"
        nearest = text
    hint = did_you_mean(nearest, names)
    raise PydanticCustomError(RULE, f"{info.field_name} {rule}, got {text!r}{hint}")


@dataclass(frozen=True)
class Listed:
    """
    An annotation of a field, which adds the texts that the field accepts to its JSON Schema.

    The texts are looked up when the schema is made, since an installed package may add metrics.

    Attributes:
        names: a function that returns the texts.
    """

    names: Callable[[], list[str]]

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of the field, with its texts."""
        return {**handler(core_schema), "enum": self.names()}


def _all_choosing_names() -> list[str]:
    numbers = [name for name, metric in metrics().items() if metric.IS_NUMBER]
    return [each for name in numbers for each in choosing_names(name)]


def _all_observed_names() -> list[str]:
    return [*_all_choosing_names(), TRAIN_LOSS]


def _all_requested_names() -> list[str]:
    return [name for name in metrics() if name not in FIELDS]


def _observes(text: str, info: ValidationInfo) -> str:
    return text if text == TRAIN_LOSS else _chooses(text, info)


Metric = Annotated[
    str, Field(max_length=200), AfterValidator(_chooses), Listed(_all_choosing_names)
]
"""
A quantity that evaluations measure on the validation examples: ``val_loss``, ``val_accuracy``, ...

With the prefix ``ema_``, as in ``ema_val_loss``, it is measured with the averaged weights.
"""
ObservedMetric = Annotated[
    str, Field(max_length=200), AfterValidator(_observes), Listed(_all_observed_names)
]
"""A `Metric`, or ``train_loss``: the mean training loss since the previous evaluation."""

RequestedMetric = Annotated[str, Field(max_length=200), Listed(_all_requested_names)]
"""A metric that evaluations measure because a run names it; its task must have the metric."""


def better(metric: str, value: float, best: float | None, min_delta: float = 0.0) -> bool:
    """
    Return whether *value* is better than *best* by more than *min_delta*.

    Whether a higher or a lower value is better depends on the metric. NaN is never better; any
    other value is better than None.
    """
    if best is None:
        return value == value  # noqa: PLR0124  not NaN
    if MetricName.of(metric).higher_is_better:
        return value > best + min_delta
    return value < best - min_delta


def default_metric() -> str:
    """Return the metric by which a run chooses if its spec names no metric."""
    return "test_loss" if chooses_by_test() else "val_loss"


class EarlyStopping(Spec):
    """
    End the run when a metric has not improved for *patience* evaluations in a row.

    References:
        keras.callbacks.EarlyStopping; Prechelt, Early Stopping - but when?, 1998.
    """

    metric: Metric = Field(default_factory=default_metric)
    """Metric that must improve."""
    patience: int = Field(ge=1, le=MAX_COUNT, json_schema_extra={"unit": "evaluations"})
    """The run ends after this many evaluations in a row without a new best value."""
    min_delta: float = Field(0.0, ge=0)
    """A value counts as an improvement if it beats the best value by more than this."""
