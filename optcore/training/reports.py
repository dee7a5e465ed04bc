"""The reports that the training loop yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from optcore.spec.evaluation import Metric


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
    Metrics on the held-out examples.

    Attributes:
        step: the number of steps made before the evaluation.
        loss: the mean loss over the examples.
        accuracy: the share of correct predictions, in 0..1.
        examples: the number of examples.
        top_k: the share of examples whose class is among the k likeliest, if the spec has top_k.
        confusion: for each class, the number of its examples predicted as each class, if the spec
            has confusion.
        ema_loss: the loss with the averaged weights, if there are any.
        ema_accuracy: the accuracy with the averaged weights, if there are any.
        best: whether this is the best evaluation so far, if the best checkpoint is kept.
    """

    step: int
    loss: float
    accuracy: float
    examples: int
    top_k: float | None = None
    confusion: tuple[tuple[int, ...], ...] | None = None
    ema_loss: float | None = None
    ema_accuracy: float | None = None
    best: bool = False

    def metric(self, name: Metric) -> float:
        """Return the value of the metric *name*."""
        found = {
            "test_loss": self.loss,
            "test_accuracy": self.accuracy,
            "ema_loss": self.ema_loss,
            "ema_accuracy": self.ema_accuracy,
        }[name]
        assert found is not None, name  # the spec wants an ema for it
        return found


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
