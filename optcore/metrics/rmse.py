"""The root mean squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Measured, Metric, Subject
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class RootMeanSquaredError(Metric):
    """
    The square root of the mean of (output - target)^2 over examples, in the unit of the target.

    If a target has several numbers, the metric is the mean of the root over these numbers.

    References:
        sklearn.metrics.root_mean_squared_error.
    """

    NAME: ClassVar[str] = "rmse"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"regression"})
    ON_REQUEST: ClassVar[bool] = False
    HIGHER_IS_BETTER: ClassVar[bool] = False

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._squares: Tensor | None = None
        self._count = 0

    def add(self, batch: Measured) -> None:
        """Add the squared errors of a batch."""
        squares = ((batch.outputs.double() - batch.targets.double()) ** 2).sum(0)
        self._squares = squares if self._squares is None else self._squares + squares
        self._count += len(batch.targets)

    def value(self) -> float:
        """Return the mean of the root mean squared error over the numbers of a target."""
        assert self._squares is not None
        return float((self._squares / self._count).sqrt().mean())
