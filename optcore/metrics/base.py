"""The base of all metrics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from optcore.spec.tasks.tasks import Objective, Task

if TYPE_CHECKING:  # the catalogue is read where torch is not installed
    from torch import Tensor

Value = float | list[list[int]]
"""The value of a metric: a number, or a matrix of counts."""


@dataclass(frozen=True)
class Measured:
    """
    A batch that was evaluated: the outputs of the network, the targets and the loss.

    For a language model, every position in a text is an example of its own. Examples whose target
    the loss ignores (ignore_index) are left out.

    Attributes:
        outputs: the outputs of the network, whose first dimension is the batch.
        targets: the targets of the examples; see `optcore.spec.tasks.tasks.Target`.
        loss: the mean loss of the batch, a scalar.
        weight: the divisor of that mean: the number of examples, or the sum of their weights.
    """

    outputs: Tensor
    targets: Tensor
    loss: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Subject:
    """
    What a metric must know about the run before the first batch.

    Attributes:
        task: the task of the run.
        size: the number of different classes, labels or tokens; for a regression, the number of
            numbers in a target; for a minimization, the number of dimensions.
        top_k: the k of the metric top_k; None if the run does not have this metric.
        bytes_per_token: the mean number of bytes of text in a token.
        objective: the function that a minimization minimizes; None for all other tasks.
    """

    task: Task
    size: int
    top_k: int | None = None
    bytes_per_token: float = 1.0
    objective: Objective | None = None


class Metric(ABC):
    """
    A metric over all examples of a split, accumulated batch by batch.

    The value does not depend on how the examples are divided into batches, except for rounding in
    float64.

    Other installed packages can add metrics. Such a package declares an entry point of the group
    ``optserve.metrics``, which names a subclass of this class.

    Args:
        subject: the task of the run, and the sizes that belong to it.
    """

    NAME: ClassVar[str]
    """Name of the metric, without the prefix of a split: ``accuracy``. Small letters, digits and
    underscores, the first of them a letter."""
    TASKS: ClassVar[frozenset[Task]]
    """Tasks for which the metric is defined."""
    HIGHER_IS_BETTER: ClassVar[bool] = True
    """Whether a higher value is better."""
    ON_REQUEST: ClassVar[bool] = True
    """Whether the metric is computed only if the job requests it (``training.metrics``). A metric
    of an installed package should be: otherwise it joins runs that have begun without it."""
    IS_NUMBER: ClassVar[bool] = True
    """Whether the value is a number, which can choose the best checkpoint and be drawn."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @abstractmethod
    def add(self, batch: Measured) -> None:
        """Add a batch. Sums stay on the batch's device, so that the host need not wait for them."""

    @abstractmethod
    def value(self) -> Value:
        """Return the value over all batches added so far; at least one must have been added."""


class Mean(Metric):
    """A metric that is the mean of a score; subclasses define the score in `scores`."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._sum: Tensor | None = None
        self._count: Tensor | float = 0.0

    @abstractmethod
    def scores(self, batch: Measured) -> tuple[Tensor, Tensor | float]:
        """Return the sum of the scores in *batch*, a float64 scalar, and the number of scores."""

    def add(self, batch: Measured) -> None:
        """Add the scores of a batch."""
        total, count = self.scores(batch)
        self._sum = total if self._sum is None else self._sum + total
        self._count = self._count + count

    def value(self) -> float:
        """Return the mean of all scores; NaN if there are none."""
        assert self._sum is not None
        count = float(self._count)
        return float(self._sum) / count if count else math.nan
