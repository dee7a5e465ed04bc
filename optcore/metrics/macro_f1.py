"""The mean F1 score of the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Measured, Metric, Subject
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class MacroF1(Metric):
    """
    The mean F1 score over the classes, or over the labels, in 0..1.

    ::

        F1 = 2 TP / (2 TP + FP + FN)

    for the numbers TP of true positives, FP of false positives and FN of false negatives.

    A class that no example has and that is never predicted is left out of the mean. In the task
    multi_label, the F1 of such a label is 0 and counts in the mean.

    References:
        sklearn.metrics.f1_score(average="macro", zero_division=0).
    """

    NAME: ClassVar[str] = "macro_f1"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "multi_label"})

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._counts: Tensor | None = None

    def add(self, batch: Measured) -> None:
        """Count the true positives, the targets and the predictions of each class in a batch."""
        size, outputs, targets = self.subject.size, batch.outputs, batch.targets
        if self.subject.task == "multi_label":
            true, predicted = targets > 0, outputs > 0
            counts = [(true & predicted).sum(0), true.sum(0), predicted.sum(0)]
        else:
            predicted = outputs.argmax(1)
            counts = [
                each.bincount(minlength=size)
                for each in (targets[predicted == targets], targets, predicted)
            ]
        added = counts[0].new_zeros(3, size)
        for row, count in zip(added, counts, strict=True):
            row.copy_(count)
        self._counts = added if self._counts is None else self._counts + added

    def value(self) -> float:
        """Return the mean F1 score."""
        assert self._counts is not None
        right, true, predicted = self._counts.double()
        found = true + predicted  # 2 TP + FP + FN
        scores = 2 * right / found.clamp(min=1)
        if self.subject.task == "classification":
            scores = scores[found > 0]
        return float(scores.mean())
