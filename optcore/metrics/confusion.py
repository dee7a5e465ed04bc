"""The confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Measured, Metric, Subject
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class Confusion(Metric):
    """
    The confusion matrix: how often examples of each class were predicted as each class.

    It has a row for each class, and in the row a column for each predicted class.

    References:
        sklearn.metrics.confusion_matrix.
    """

    NAME: ClassVar[str] = "confusion"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification"})
    IS_NUMBER: ClassVar[bool] = False

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._counts: Tensor | None = None

    def add(self, batch: Measured) -> None:
        """Count the pairs of class and prediction in a batch."""
        size = self.subject.size
        pairs = batch.targets * size + batch.outputs.argmax(1)
        counts = pairs.bincount(minlength=size**2)
        self._counts = counts if self._counts is None else self._counts + counts

    def value(self) -> list[list[int]]:
        """Return the matrix as a list of rows."""
        assert self._counts is not None
        rows: list[list[int]] = self._counts.view(self.subject.size, -1).tolist()
        return rows
