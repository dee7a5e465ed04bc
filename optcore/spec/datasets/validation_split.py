"""Chooses the training examples that are held out for validation, by their positions alone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Validation = float | int
"""A share of the training examples (below 1), or a number of them."""


@lru_cache(maxsize=32)
def validation_positions(examples: int, validation: Validation) -> NDArray[np.int64]:
    """
    Return the positions of the validation examples, in ascending order.

    The position of each example is hashed to a number u in 0..1. If *validation* is a share, the
    examples whose u is below the share are chosen. These examples stay chosen when further examples
    are appended. If *validation* is a number n, the n examples with the smallest u are chosen.

    The result does not depend on a seed, so runs with different seeds are evaluated with the same
    examples.

    Args:
        examples: the number of training examples.
        validation: the share (a float) or the number (an int) of the examples.

    References:
        Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014 (the hash).
    """
    keys = _mixed(np.arange(examples, dtype=np.uint64))
    if isinstance(validation, float):
        chosen = np.flatnonzero(keys / 2.0**64 < validation)
    else:
        chosen = np.sort(np.argsort(keys, kind="stable")[:validation])
    chosen.setflags(write=False)  # it is cached
    return chosen


def _mixed(positions: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each position: an output of SplitMix64."""
    with np.errstate(over="ignore"):
        z = (positions + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
