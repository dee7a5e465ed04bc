"""
The random numbers of torch's CPU generator, without torch.

timm seeds a generator anew at every step, so that its noise at a step depends only on the seed and
the step. Here the generators of many steps are computed together.

References:
    Matsumoto and Nishimura, Mersenne Twister, 1998 (MT19937).
    torch 2.13 ATen/core/MT19937RNGEngine.h and DistributionsHelper.h.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Seeds = NDArray[np.uint64]
Words = NDArray[np.uint32]

SIZE, SHIFT = 624, 397
"""The number of words in the state, and how far a new word looks ahead."""
UPPER, LOWER, TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
PAIRS = (SIZE - SHIFT) // 4
"""The number of pairs of normal numbers for which the words of the first state suffice."""


def normal_within(seeds: Seeds, *, std: float, limit: float) -> NDArray[np.float64]:
    """
    Return, for each seed, the first ``torch.randn(1).item() * std`` that is within *limit* of 0.

    Args:
        seeds: seeds of generators; only the lower 32 bits matter, as in torch.
        std: the standard deviation.
        limit: the bound on the absolute value, at least a hundredth of *std*.
    """
    found = np.empty(len(seeds), np.float64)
    left = np.arange(len(seeds))
    # Half of the numbers are found in the first pair, which needs 401 words of each state; few
    # seeds need many pairs.
    for first, last in pairwise((0, 1, 4, PAIRS)):
        state = _seeded(seeds[left], SHIFT + 4 * last)
        columns = np.arange(len(left))
        for pair in range(first, last):
            noise = _normal_pair(_words(state, 4 * pair, 4, columns)) * std
            good = np.abs(noise) < limit
            accepted: NDArray[np.bool_] = good[0] | good[1]
            # The first of the two where both are below the limit.
            found[left[accepted]] = np.where(good[0], *noise)[accepted]
            left, columns = left[~accepted], columns[~accepted]
            if not len(left):
                return found
    found[left] = [_late(int(seed), std, limit) for seed in seeds[left]]
    return found


def uniform(seeds: Seeds) -> NDArray[np.float64]:
    """Return, for each seed, the first ``torch.rand(1).item()``."""
    words = _words(_seeded(seeds, SHIFT + 1), 0, 1, np.arange(len(seeds)))[0]
    return np.asarray((words & np.uint32(2**24 - 1)) * 2.0**-24)


def _seeded(seeds: Seeds, count: int) -> Words:
    """Return the first *count* words of the state of each generator, one row per word."""
    state = np.empty((count, len(seeds)), np.uint32)
    state[0] = seeds & np.uint64(0xFFFFFFFF)
    mixed = np.empty(len(seeds), np.uint32)
    for i in range(1, count):
        # In place: new arrays would take most of the time. Products wrap around modulo 2 ** 32.
        np.right_shift(state[i - 1], np.uint32(30), out=mixed)
        np.bitwise_xor(state[i - 1], mixed, out=mixed)
        np.multiply(mixed, np.uint32(1812433253), out=mixed)
        np.add(mixed, np.uint32(i), out=state[i])
    return state


def _words(state: Words, start: int, count: int, columns: NDArray[np.int64]) -> Words:
    """Return the outputs *start* to *start* + *count* of the generators in *columns*."""
    near = state[start : start + count + 1, columns]
    far = state[start + SHIFT : start + SHIFT + count, columns]
    y = (near[:-1] & UPPER) | (near[1:] & LOWER)
    y = far ^ (y >> np.uint32(1)) ^ np.where(y & np.uint32(1), TWIST, np.uint32(0))
    y = y ^ (y >> np.uint32(11))
    y = y ^ ((y << np.uint32(7)) & np.uint32(0x9D2C5680))
    y = y ^ ((y << np.uint32(15)) & np.uint32(0xEFC60000))
    return np.asarray(y ^ (y >> np.uint32(18)))


def _normal_pair(words: Words) -> NDArray[np.float64]:
    """Return the two normal numbers that torch computes from four *words*, by Box and Muller."""
    wide = words.astype(np.uint64)
    u1, u2 = (((wide[i] << np.uint64(32)) | wide[i + 1]) & np.uint64(2**53 - 1) for i in (0, 2))
    radius = np.sqrt(-2.0 * np.log1p(-(u2 * 2.0**-53)))
    theta = 2.0 * np.pi * (u1 * 2.0**-53)
    # torch computes in float64 and stores a float32.
    pair = np.stack([radius * np.cos(theta), radius * np.sin(theta)])
    return pair.astype(np.float32).astype(np.float64)


def _late(seed: int, std: float, limit: float) -> float:
    """Return the number for a *seed* whose first 2 * PAIRS numbers are all too large."""
    # RandomState seeds the same generator in the same way, and numpy keeps its stream (NEP 19).
    words = np.random.RandomState(seed % 2**32)
    while True:
        four = words.randint(0, 2**32, size=(4, 1), dtype=np.uint32)
        for noise in _normal_pair(four)[:, 0] * std:
            if abs(noise) < limit:
                return float(noise)
