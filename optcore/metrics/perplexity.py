"""The perplexity."""

from __future__ import annotations

import math
import sys
from typing import ClassVar

from optcore.metrics.loss import MeanLoss
from optcore.spec.tasks import Task


class Perplexity(MeanLoss):
    """exp(mean loss per token); the largest float64 if that is above its range."""

    NAME: ClassVar[str] = "perplexity"
    TASKS: ClassVar[frozenset[Task]] = frozenset({"language_model"})

    def value(self) -> float:
        """Return the perplexity over all tokens."""
        try:
            return math.exp(super().value())
        except OverflowError:
            return sys.float_info.max
