"""The share of examples whose class is among the k likeliest classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class TopK(Mean):
    """
    The share of examples whose class is among the k classes with the largest outputs, in 0..1.

    References:
        sklearn.metrics.top_k_accuracy_score.
    """

    NAME: ClassVar[str] = "top_k"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification"})

    def scores(self, batch: Measured) -> tuple[Tensor, float]:
        """Return the number of correct examples, and the number of all examples."""
        assert self.subject.top_k is not None
        likeliest = batch.outputs.topk(self.subject.top_k).indices
        among = (likeliest == batch.targets.unsqueeze(1)).sum()
        return among.double(), len(batch.targets)
