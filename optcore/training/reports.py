"""What a run says while it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from optcore.spec.evaluation import Metric


class StepReport(NamedTuple):  # made in less than half the time of a frozen dataclass
    """
    One step: an update, or one that was skipped.

    Attributes:
        step: 0 for the first.
        lr: learning rate it was made with: that of the run's `shown_group`.
        loss: mean over the examples, before the update.
        lrs: of each group of parameters, in order, if there are several; else empty.
        values: what the run keeps besides: the spec's columns after lr and loss.
    """

    step: int
    lr: float
    loss: float
    lrs: tuple[float, ...] = ()
    values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    A look at the held-out examples.

    Attributes:
        step: steps made before it.
        loss: mean over the examples.
        accuracy: share of them told right, in 0..1.
        examples: how many there are.
        top_k: share whose class is among the k likeliest, if that is asked for.
        confusion: for each class, what its examples were taken for, if that is asked for.
        ema_loss: loss with the averaged weights, if there are any.
        ema_accuracy: accuracy with them.
        best: whether it is the best so far, where the best is kept.
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
        """Return what was measured under *name*."""
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
    A sign of life between two other reports: part of an evaluation or of a step is done.

    Attributes:
        step: steps made so far.
    """

    step: int


Report = StepReport | Evaluation | Progress
"""What the loop yields."""


class Diverged(Exception):
    """
    There is nothing left to train with.

    Attributes:
        step: the step that shows it, from which no update was made; or the steps made before the
            evaluation that does.
    """

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}")
        self.step = step
