"""The number of errors per character of a sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.metrics.sequences import best_paths, edit_distance, wanted
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class CharacterErrorRate(Mean):
    """
    The edit distances between predictions and targets, divided by the lengths of the targets.

    Distances and lengths are summed over all examples before the division. The rate is 0 if every
    sequence is right, and may be above 1.
    """

    NAME: ClassVar[str] = "character_error_rate"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"sequence"})
    ON_REQUEST: ClassVar[bool] = False
    HIGHER_IS_BETTER: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, float]:
        """Return the sum of the edit distances, and the sum of the lengths of the targets."""
        targets = wanted(batch.targets)
        pairs = zip(best_paths(batch.outputs), targets, strict=True)
        errors = sum(edit_distance(predicted, target) for predicted, target in pairs)
        return batch.loss.new_tensor(errors).double(), sum(map(len, targets))
