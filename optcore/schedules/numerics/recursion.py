"""
Curves whose every value is computed from the one before, in float32.

torch's schedulers multiply the lr they find. In float64 that is the formula to 1e-14 and the
formula is used; mindspore.experimental, which copies them, keeps lr in float32, where a thousand
products are a rounding error that shows. Those are repeated product by product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.numerics.numbers import Array, Curve, Numbers

Single = NDArray[np.float32]
SINGLE = Numbers(single=True)


def products(first: float, factors: Callable[[Single], Single]) -> Curve:
    """Return *first*, multiplied with factors(t) at t = 1, 2, ..., each product rounded."""

    def table(size: int) -> Single:
        # From 1: a scheduler multiplies when it steps, and t = 0 is before its first step.
        steps = np.arange(1, size, dtype=np.float32)
        values = np.concatenate([np.asarray([first], np.float32), factors(steps)])
        with np.errstate(under="ignore"):  # a product that has become 0 is right
            # accumulate goes from left to right and rounds each product, as step after step does.
            return np.asarray(np.multiply.accumulate(values, dtype=np.float32))

    return from_table(table)


def from_table(table: Callable[[int], Single]) -> Curve:
    """Return f(t) = table(size)[t], computed anew, twice as long, when it is too short."""
    known = np.empty(0, np.float32)

    def f(t: Array) -> Array:
        nonlocal known
        # A compressing warmup asks between steps: the value of the earlier one holds.
        at = t.astype(np.int64)
        longest = int(at.max(initial=0)) + 1
        if longest > len(known):
            # Each table begins at t = 0 again. As they double, a run that asks step by step
            # computes less than four times its length in all.
            known = table(max(longest, 2 * len(known)))
        return known[at]

    return f
