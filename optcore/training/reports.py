"""The reports that the training loop yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from optcore.metrics.base import Value
from optcore.spec.evaluation import MetricName


class StepReport(NamedTuple):  # made in less than half the time of a frozen dataclass
    """
    The report of one step, with or without an update.

    Attributes:
        step: the number of the step, 0 for the first.
        lr: the learning rate of the step, in the parameter group `Run.displayed_group`.
        loss: the mean loss over the examples of the step, before the update.
        lrs: the learning rate of each parameter group, in order; empty if there is only one group.
        values: the values of the columns after lr and loss, in the order of ``spec.columns``.
    """

    step: int
    lr: float
    loss: float
    lrs: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    The report of one evaluation.

    Attributes:
        step: the number of steps made before the evaluation.
        metrics: name -> value. In a name such as ``ema_val_loss``, the split (val or test) stands
            before the metric. ``ema_`` stands before the split if the averaged weights were
            evaluated.
        examples: split (``val`` or ``test``) -> number of examples that were evaluated.
        former: whether the run began under a release up to 0.2.0 and evaluates only test examples.
        best: whether the evaluation is the best one so far; always false if the run does not keep
            its best checkpoint.
    """

    step: int
    metrics: Mapping[str, Value]
    examples: Mapping[str, int]
    former: bool = False
    best: bool = False

    def metric(self, name: str) -> float:
        """Return the value of the metric *name*, which must be a number."""
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
    A report that a part of an evaluation, or of a step, is done.

    Attributes:
        step: the number of steps made so far.
    """

    step: int


Report = StepReport | Evaluation | Progress
"""A report that the training loop yields."""


class Diverged(Exception):
    """
    The training has diverged.

    A loss is too large or not finite, the gradients of many steps in a row are not finite, or an
    update overflows.

    Attributes:
        step: the number of the step that diverged; for an evaluation whose loss is not finite,
            the number of steps made before that evaluation.
    """

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
