"""
Curves in which every value is computed from the previous value.

torch's schedulers multiply the current lr. In float64 the result equals the formula to 1e-14, so
the formula is used. mindspore.experimental copies torch's schedulers but stores lr in float32,
where the rounding error of a thousand products is visible. To match mindspore.experimental, the
curves here repeat the products one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.numerics.numbers import Array, Curve, Numbers

Single = NDArray[np.float32]
SINGLE = Numbers(single=True)


def products(first: float, factors: Callable[[Single], Single]) -> Curve:
    """
    Return the curve that starts at *first* and is multiplied by factors(t) at t = 1, 2, ...

    Each product is rounded to float32.
    """

    def table(size: int) -> Single:
        # From 1: a scheduler multiplies in step(), and t = 0 is before its first step().
        steps = np.arange(1, size, dtype=np.float32)
        values = np.concatenate([np.asarray([first], np.float32), factors(steps)])
        with np.errstate(under="ignore"):  # a product may underflow to 0
            # accumulate multiplies from left to right and rounds each product, as a scheduler does.
            return np.asarray(np.multiply.accumulate(values, dtype=np.float32))

    return from_table(table)


def running(first: float, factors: Array, terms: Array) -> Array:
    """
    Return the values v with v[0] = *first* and v[t] = factors[t - 1] * v[t - 1] + terms[t - 1].

    The values are float64, and a million values take 20 ms.

    The values are divided into blocks, a thousand blocks for a million values. First, all blocks
    are computed at the same time, as if the value before each block were 0. Then the real value
    before the block, multiplied by the block's factors up to each step, is added.
    """
    if not terms.any():
        with np.errstate(under="ignore"):
            return np.asarray(np.multiply.accumulate(np.concatenate([[first], factors])))
    size = len(factors)
    rows = math.isqrt(size) + 1
    blocks = -(-size // rows)
    shape = (blocks, rows)
    scale, value = (np.zeros(blocks * rows) for _ in range(2))
    scale[:size], value[:size] = factors, terms
    # Transposed: a row has one value of each block, next to each other in memory.
    scale, value = (np.ascontiguousarray(x.reshape(shape).T) for x in (scale, value))
    starts = np.empty(blocks)
    with np.errstate(under="ignore"):
        for row in range(1, rows):
            value[row] += scale[row] * value[row - 1]
            scale[row] *= scale[row - 1]
        starts[0] = first
        for block in range(1, blocks):
            starts[block] = scale[-1, block - 1] * starts[block - 1] + value[-1, block - 1]
        value += scale * starts
    return np.concatenate([[first], value.T.ravel()[:size]])


def from_table(table: Callable[[int], NDArray[Any]]) -> Curve:
    """Return the curve t -> table(size)[t]; a table too short for t is replaced by a longer one."""
    known: NDArray[Any] = np.empty(0, np.float32)

    def f(t: Array) -> Array:
        nonlocal known
        # A compressing warmup gives fractions of steps: the value of the step before holds.
        at = t.astype(np.int64)
        longest = int(at.max(initial=0)) + 1
        if longest > len(known):
            # Each table begins at t = 0 again. Since tables double in length, a run that calls f
            # step by step computes less than four times its length in total.
            known = table(max(longest, 2 * len(known)))
        return known[at]

    return f
