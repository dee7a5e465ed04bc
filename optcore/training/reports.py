"""The reports that the training loop yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from optcore.metrics.base import Value
from optcore.spec.evaluation import MetricName


class StepReport(NamedTuple):  # made in less than half the time of a frozen dataclass
    """
    The report of one step, which made an update or skipped it.

    Attributes:
        step: the number of the step, 0 for the first.
        lr: the learning rate of the step, in the parameter group `Run.displayed_group`.
        loss: the mean loss over the examples, before the update.
        lrs: the learning rate of each parameter group, in order, if there are several; else empty.
        values: the values of the spec's other columns, which follow lr and loss.
    """

    step: int
    lr: float
    loss: float
    lrs: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    Metrics on the validation examples, and at the end of the run also on the test examples.

    Attributes:
        step: the number of steps made before the evaluation.
        metrics: the value of each metric. A name such as ``ema_val_loss`` has the split (val or
            test) before the metric, and ``ema_`` before the split if the averaged weights were
            evaluated.
        examples: the number of examples of each split, by ``val`` and ``test``.
        former: whether the run is one of a release up to 0.2.0, which evaluates only test examples.
        best: whether this is the best evaluation so far, if the best checkpoint is kept.
    """

    step: int
    metrics: Mapping[str, Value]
    examples: Mapping[str, int]
    former: bool = False
    best: bool = False

    def metric(self, name: str) -> float:
        """Return the value of the metric *name*, which is a number."""
        parts = MetricName.of(name)
        prefix = f"{'ema_' * parts.ema}{parts.split}_"
        # Up to 0.2.0 the share of right sequences was called accuracy, too.
        other = f"{prefix}sequence_{parts.name}"
        value = self.metrics[
            other if self.former and other in self.metrics else prefix + parts.name
        ]
        assert isinstance(value, float), name
        return value


@dataclass(frozen=True, slots=True)
class Progress:
    """
    A report that a part of an evaluation or of a step has been computed.

    Attributes:
        step: the number of steps made so far.
    """

    step: int


Report = StepReport | Evaluation | Progress
"""A report that the training loop yields."""


class Diverged(Exception):
    """
    The training has diverged.

    Attributes:
        step: the number of the step that diverged; for an evaluation whose loss is not finite,
            the number of steps made before that evaluation.
    """

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
