"""Random numbers that depend only on a seed and a step, not on earlier random numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.numerics.numbers import Array

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2 ** 64 divided by the golden ratio: the increment of splitmix64's counter."""
MASK = (1 << 64) - 1
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def normal(seed: int, t: Array) -> NDArray[np.float64]:
    """
    Return a standard normal random number for each of the steps *t*.

    Each step selects a splitmix64 number, whose two halves are uniform random numbers. The method
    by Box and Muller turns the two halves into one normal number, whose size is at most 6.7.

    Args:
        seed: the seed, from 0 to 2 ** 63 - 1.
        t: the steps; fractions are rounded down.

    References:
        Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014.
        Box and Muller, A Note on the Generation of Random Normal Deviates, 1958.
    """
    # Not numpy's Generator: each step would need a new one, and its streams may change between
    # versions of numpy (NEP 19).
    with np.errstate(over="ignore"):
        # Without mixing, seeds that differ by GOLDEN would give the same numbers one step apart.
        start = _mixed(np.asarray([seed & MASK], np.uint64) + GOLDEN)[0]
        # In place, here and below: a new array for each result would take as long as the cosine.
        bits = t.astype(np.uint64)
        bits += np.uint64(1)
        bits *= GOLDEN
        bits += start
    return _normal_of(_mixed(bits))


def normals(keys: NDArray[np.uint64], count: int) -> NDArray[np.float64]:
    """
    Return *count* standard normal random numbers for each of *keys*, as one row per key.

    A row is made of the outputs of splitmix64 with the key as its seed, as in `normal`.
    """
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        bits = keys[:, np.newaxis] + steps
    return _normal_of(_mixed(bits))


def _normal_of(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a standard normal number for each of the random *bits*, which are overwritten."""
    # In (0, 1]: 0 has no logarithm.
    radius = (bits >> HALF).astype(np.float64)
    radius += 1
    radius *= 2.0**-32
    np.log(radius, out=radius)
    radius *= -2
    np.sqrt(radius, out=radius)
    bits &= LOW
    angle = bits.astype(np.float64)
    angle *= 2.0**-32
    angle *= 2 * np.pi
    radius *= np.cos(angle, out=angle)
    return radius


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply splitmix64's mixing function to each number in *z*, in place, and return *z*."""
    with np.errstate(over="ignore"):
        # Products wrap around modulo 2 ** 64, as splitmix64 requires.
        shifted = z >> np.uint64(30)
        z ^= shifted
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= np.right_shift(z, np.uint64(27), out=shifted)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= np.right_shift(z, np.uint64(31), out=shifted)
    return z
