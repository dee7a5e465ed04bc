"""The share of sequences that are predicted without an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.metrics.sequences import best_paths, wanted
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class SequenceAccuracy(Mean):
    """
    The share of examples whose predicted sequence equals the target, in 0..1.

    `optcore.metrics.sequences.best_paths` says how a sequence is read from the outputs.
    """

    NAME: ClassVar[str] = "sequence_accuracy"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"sequence"})
    ON_REQUEST: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, float]:
        """Return the number of right sequences, and the number of all sequences."""
        pairs = zip(best_paths(batch.outputs), wanted(batch.targets), strict=True)
        right = sum(predicted == target for predicted, target in pairs)
        return batch.loss.new_tensor(right).double(), len(batch.targets)
