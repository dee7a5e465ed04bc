"""The perplexity, and the likelihood that it is made of."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class Likelihood(Mean):
    """The base of metrics made of the mean -log(probability) of tokens, whatever the loss is."""

    TASKS: ClassVar[frozenset[Task]] = frozenset({"language_model"})
    HIGHER_IS_BETTER: ClassVar[bool] = False
    ON_REQUEST: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, float]:
        """Return the sum of -log(probability), and the number of tokens."""
        logarithms = batch.outputs.double().log_softmax(1)
        found = logarithms.gather(1, batch.targets.unsqueeze(1))
        return -found.sum(), len(batch.targets)


class Perplexity(Likelihood):
    """exp(mean of -log(probability) per token); the largest float64 if that is above its range."""

    NAME: ClassVar[str] = "perplexity"

    def value(self) -> float:
        """Return the perplexity over all tokens."""
        try:
            return math.exp(super().value())
        except OverflowError:
            return sys.float_info.max
