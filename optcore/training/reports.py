"""What a run says while it trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReport:
    """
    One update.

    Attributes:
        step: 0 for the first.
        lr: learning rate it was made with: that of the run's `shown_group`.
        loss: mean over the batch, before the update.
        lrs: of each group of parameters, in order, if there are several; else empty.
    """

    step: int
    lr: float
    loss: float
    lrs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """
    A look at the held-out examples.

    Attributes:
        step: updates applied before it.
        loss: mean over the examples.
        accuracy: share of them told right, in 0..1.
        examples: how many there are.
    """

    step: int
    loss: float
    accuracy: float
    examples: int


@dataclass(frozen=True, slots=True)
class Progress:
    """
    A sign of life between two other reports: part of an evaluation is done.

    Attributes:
        step: updates applied so far.
    """

    step: int


Report = StepReport | Evaluation | Progress
"""What the loop yields."""


class Diverged(Exception):
    """
    The loss is no longer a finite number.

    Attributes:
        step: the update whose loss it was, which was not made; or the updates applied before
            the evaluation whose loss it was.
        loss: NaN or an infinity.
    """

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"loss must be finite, got {loss} at step {step}")
        self.step, self.loss = step, loss
