"""The distance of a point from the minimum of a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class Distance(Mean):
    """
    The Euclidean distance of the point from the minimum of the function, in the unit of the point.

    ::

        distance = sqrt( sum_i (x_i - minimum_i)^2 )
    """

    NAME: ClassVar[str] = "distance"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"minimization"})
    ON_REQUEST: ClassVar[bool] = False
    HIGHER_IS_BETTER: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, int]:
        """Return the sum of the distances, and the number of examples."""
        assert self.subject.objective is not None
        away = batch.outputs.double() - self.subject.objective.minimum
        return away.square().sum(1).sqrt().sum(), len(away)
