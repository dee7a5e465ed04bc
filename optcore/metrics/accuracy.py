"""The share of correct predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class Accuracy(Mean):
    """
    The share of correct predictions, in 0..1.

    What counts as correct depends on the task::

        classification   an example whose class has the largest output
        multi_label      an example whose labels are all right; an output above 0 predicts a label
        language_model   a position whose next token has the largest output

    References:
        sklearn.metrics.accuracy_score, which is the subset accuracy for several labels.
    """

    NAME: ClassVar[str] = "accuracy"
    TASKS: ClassVar[frozenset[Task]] = frozenset(
        {"classification", "multi_label", "language_model"}
    )
    ON_REQUEST: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, Tensor | float]:
        """Return the number of correct predictions, and the number of all predictions."""
        outputs, targets = batch.outputs, batch.targets
        if self.subject.task == "multi_label":
            right = ((outputs > 0) == (targets > 0)).all(1)
            return right.double().sum(), len(targets)
        return (outputs.argmax(1) == targets).double().sum(), len(targets)
