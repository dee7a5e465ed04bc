"""Random numbers that only a seed and a step decide, in any order, for any steps at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.numerics.numbers import Array

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2 ** 64 over the golden ratio: what splitmix64 counts by."""
MASK = (1 << 64) - 1
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def normal(seed: int, t: Array) -> NDArray[np.float64]:
    """
    Return a standard normal number for each of the steps *t*.

    Two uniform numbers, the halves of the splitmix64 number that a step addresses, by Box and
    Muller. None is further out than 6.7 standard deviations.

    Args:
        seed: from 0 up to 2 ** 63.
        t: steps; fractions are rounded down.

    References:
        Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
        Box and Muller, A Note on the Generation of Random Normal Deviates, 1958.
    """
    # Not numpy's Generator: it would be made anew for each step, and its streams may change from
    # version to version (NEP 19).
    with np.errstate(over="ignore"):
        # Unmixed, seeds that are GOLDEN apart would have the same numbers, one step apart.
        start = _mixed(np.asarray([seed & MASK], np.uint64) + GOLDEN)[0]
        bits = _mixed(start + (t.astype(np.uint64) + np.uint64(1)) * GOLDEN)
    # In (0, 1]: 0 has no logarithm.
    first = ((bits >> HALF).astype(np.float64) + 1) * 2.0**-32
    second = (bits & LOW).astype(np.float64) * 2.0**-32
    return np.asarray(np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second))


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's mix of each number."""
    with np.errstate(over="ignore"):
        # Products wrap modulo 2 ** 64, as splitmix64 means them to.
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
