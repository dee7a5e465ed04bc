"""Compare the lr curves of two runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 1e-9
"""Relative difference up to which two values of lr count as equal."""


@dataclass(frozen=True)
class Difference:
    """
    The difference between two curves, over the steps that both curves have.

    Attributes:
        first: the first step at which the curves differ; None if they do not differ.
        steps: the number of steps at which the curves differ.
        ratio: the largest ratio, over the steps, of the greater to the smaller of the two values;
            1.0 if they do not differ.
        at: the step with the largest ratio.
        zeros: the number of steps without a ratio, since only one of the two values is 0.
    """

    first: int | None
    steps: int
    ratio: float
    at: int
    zeros: int


def difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> Difference:
    """Return the difference between the curves *a* and *b*, which have one value per step."""
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
