"""Where the lr curves of two runs part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 1e-9
"""Relative difference up to which two values of lr are the same."""


@dataclass(frozen=True)
class Difference:
    """
    The difference of two curves over the steps that both have.

    Attributes:
        first: the first step at which they differ; None if they do not.
        steps: the number of steps at which they differ.
        ratio: the greatest ratio of two values of one step, above 1; 1.0 if there is none.
        at: the step of that ratio.
        zeros: the number of steps at which one of the two values is 0, which have no ratio.
    """

    first: int | None
    steps: int
    ratio: float
    at: int
    zeros: int


def difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> Difference:
    """Return where the values *a* and *b*, one for each step, differ."""
    common = min(len(a), len(b))
    a, b = a[:common], b[:common]
    differs = ~np.isclose(a, b, rtol=SAME, atol=0)
    low, high = np.minimum(np.abs(a), np.abs(b)), np.maximum(np.abs(a), np.abs(b))
    ratios = np.divide(high, low, out=np.ones(common), where=differs & (low > 0))
    first = int(np.argmax(differs)) if differs.any() else None
    at = int(np.argmax(ratios)) if common else 0
    return Difference(
        first=first,
        steps=int(differs.sum()),
        ratio=float(ratios[at]) if common else 1.0,
        at=at,
        zeros=int((differs & (low == 0)).sum()),
    )
