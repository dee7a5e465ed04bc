"""What a run says while it trains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepReport:
    """
    One update.

    Attributes:
        step: 0 for the first.
        lr: learning rate it was made with.
        loss: mean over the batch, before the update.
    """

    step: int
    lr: float
    loss: float


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


class Diverged(Exception):
    """
    The loss is no longer a finite number.

    Attributes:
        step: the update whose loss it was; that update was not made.
        loss: NaN or an infinity.
    """

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"loss must be finite, got {loss} at step {step}")
        self.step, self.loss = step, loss
