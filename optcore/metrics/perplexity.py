"""The perplexity, and the mean log-likelihood of tokens that it is computed from."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, ClassVar

from optcore.metrics.base import Mean, Measured
from optcore.spec.tasks.tasks import Task

if TYPE_CHECKING:
    from torch import Tensor


class Likelihood(Mean):
    """
    The base of metrics that are computed from the mean of -log(probability) over the tokens.

    The probabilities are the softmax of the outputs, whatever the loss of the run is.
    """

    TASKS: ClassVar[frozenset[Task]] = frozenset({"language_model"})
    HIGHER_IS_BETTER: ClassVar[bool] = False
    ON_REQUEST: ClassVar[bool] = False

    def scores(self, batch: Measured) -> tuple[Tensor, float]:
        """Return the sum of -log(probability), and the number of tokens."""
        logarithms = batch.outputs.double().log_softmax(1)
        found = logarithms.gather(1, batch.targets.unsqueeze(1))
        return -found.sum(), len(batch.targets)


class Perplexity(Likelihood):
    """
    exp of the mean of -log(probability) over the tokens.

    A value above the range of float64 is replaced by the largest float64.
    """

    NAME: ClassVar[str] = "perplexity"

    def value(self) -> float:
        """Return the perplexity over all tokens."""
        try:
            return math.exp(super().value())
        except OverflowError:
            return sys.float_info.max
