"""Reports of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from optcore.spec.evaluation import Metric


class StepReport(NamedTuple):  # made in less than half the time of a frozen dataclass
    """
    One step: an update, or a step that skipped it.

    Attributes:
        step: 0 for the first.
        lr: learning rate of the step, in the group `Run.displayed_group`.
        loss: mean over the examples, before the update.
        lrs: of each group of parameters, in order, if there are several; else empty.
        values: of the spec's other columns, those after lr and loss.
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
        step: steps made before it.
        loss: mean over the examples.
        accuracy: share of correct predictions, in 0..1.
        examples: number of examples.
        top_k: share whose class is among the k likeliest, if the spec has top_k.
        confusion: for each class, counts of the predicted classes, if the spec has confusion.
        ema_loss: loss with the averaged weights, if there are any.
        ema_accuracy: accuracy with them.
        best: whether it is the best so far, if the best is kept.
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
        """Return the metric *name*."""
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
    Sent between two other reports: part of an evaluation or of a step is done.

    Attributes:
        step: steps made so far.
    """

    step: int


Report = StepReport | Evaluation | Progress
"""One item of what the loop yields."""


class Diverged(Exception):
    """
    The training has diverged.

    Attributes:
        step: the first step without an update, or the number of steps before the evaluation that
            is not finite.
    """

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
