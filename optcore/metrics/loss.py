"""The mean loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import TASKS, Task

if TYPE_CHECKING:
    from torch import Tensor


class MeanLoss(Mean):
    """
    The mean of the run's loss over examples; for a language model, over tokens.

    If the loss has weights for classes, the mean is weighted.
    """

    NAME: ClassVar[str] = "loss"
    TASKS: ClassVar[frozenset[Task]] = frozenset(TASKS)
    ON_REQUEST: ClassVar[bool] = False
    HIGHER_IS_BETTER: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, Tensor]:
        """Return the sum of the losses, and the sum of the weights."""
        return batch.loss.double() * batch.weight.double(), batch.weight.double()
