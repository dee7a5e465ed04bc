"""The coefficient of determination."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Measured, Metric, Subject
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class R2(Metric):
    """
    The share of the variance of the targets that the outputs explain, at most 1.

    ::

        r2 = 1 - sum (y - x)^2 / sum (y - mean(y))^2

    for outputs x and targets y, with the sums and the mean over all examples. r2 is 0 if every
    output is mean(y). It is below 0 if the sum of the squared errors is larger than for these
    outputs. If all targets are equal, r2 is 1 if every output is right, else 0.

    If a target has several numbers, the metric is the mean of the r2 of each.

    References:
        sklearn.metrics.r2_score. Chan, Golub and LeVeque, Updating Formulae and a Pairwise
        Algorithm for Computing Sample Variances, 1979 (the variance, batch by batch).
    """

    NAME: ClassVar[str] = "r2"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"regression"})
    ON_REQUEST: ClassVar[bool] = False

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._sums: tuple[Tensor, Tensor, Tensor] | None = None
        self._count = 0

    def add(self, batch: Measured) -> None:
        """Add the squared errors and the variance of a batch."""
        targets = batch.targets.double()
        errors = ((targets - batch.outputs.double()) ** 2).sum(0)
        mean, count = targets.mean(0), len(targets)
        spread = ((targets - mean) ** 2).sum(0)
        if self._sums is not None:
            old_errors, old_mean, old_spread = self._sums
            total, gap = self._count + count, mean - old_mean
            errors = old_errors + errors
            # A difference of large sums of squares would lose the digits that count.
            spread = old_spread + spread + gap**2 * (self._count * count / total)
            mean = old_mean + gap * (count / total)
        self._sums = (errors, mean, spread)
        self._count += count

    def value(self) -> float:
        """Return the mean of r2 over the numbers of a target."""
        assert self._sums is not None
        errors, _, spread = self._sums
        scores = 1 - errors / spread
        scores = scores.where(spread > 0, (errors == 0).double())
        return float(scores.mean())
