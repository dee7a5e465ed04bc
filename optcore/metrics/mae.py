"""The mean absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class MeanAbsoluteError(Mean):
    """
    The mean of abs(output - target) over all numbers of all examples, in the unit of the target.

    References:
        sklearn.metrics.mean_absolute_error.
    """

    NAME: ClassVar[str] = "mae"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"regression"})
    ON_REQUEST: ClassVar[bool] = False
    HIGHER_IS_BETTER: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, float]:
        """Return the sum of the absolute errors, and the number of errors."""
        errors = batch.outputs.double() - batch.targets.double()
        return errors.abs().sum(), errors.numel()
