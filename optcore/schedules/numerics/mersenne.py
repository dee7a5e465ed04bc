"""
The random numbers of torch's CPU generator, without torch.

timm seeds a generator anew at every step, so that its noise at a step depends only on the seed and
the step. Here the generators of many steps are computed together.

References:
    Matsumoto and Nishimura, Mersenne Twister, 1998 (MT19937).
    torch 2.13 ATen/core/MT19937RNGEngine.h and DistributionsHelper.h.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Seeds = NDArray[np.uint64]
Words = NDArray[np.uint32]

SIZE, SHIFT = 624, 397
"""The number of words in the state, and how far a new word looks ahead."""
UPPER, LOWER, TWIST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF), np.uint32(0x9908B0DF)
MOST_PAIRS = (SIZE - SHIFT) // 4
"""The number of pairs of normal numbers for which the words of the first state suffice."""
EARLY = 8
"""The largest number of pairs that are made ready for all seeds, before a seed needs them."""
LATE = 256
"""The number of pairs that are drawn at once for a seed that needs more than `MOST_PAIRS`."""
# Arrays, which numpy need not convert at each of the 1,600 calls that a block of seeds takes.
TOP_BITS, FACTOR = np.array(30, np.uint32), np.array(1812433253, np.uint32)
INDICES = tuple(np.array(i, np.uint32) for i in range(SIZE))
TEMPERING = (
    (np.right_shift, np.uint32(11), None),
    (np.left_shift, np.uint32(7), np.uint32(0x9D2C5680)),
    (np.left_shift, np.uint32(15), np.uint32(0xEFC60000)),
    (np.right_shift, np.uint32(18), None),
)
"""Each output is combined (exclusive or) with itself, shifted and masked so, in this order."""


def normal_within(seeds: Seeds, *, std: float, limit: float) -> NDArray[np.float64]:
    """
    Return, for each seed, the first ``torch.randn(1).item() * std`` that is within *limit* of 0.

    Args:
        seeds: seeds of generators; only the lower 32 bits matter, as in torch.
        std: the standard deviation.
        limit: the bound on the absolute value, at least a hundredth of *std*.
    """
    found = np.empty(len(seeds), np.float64)
    # The positions of the seeds whose number is not found yet.
    left = np.arange(len(seeds))
    # Each further pair takes four more words of all seeds: first the pairs that most seeds need.
    for first, last in pairwise((0, _pairs_needed(len(seeds), std, limit), MOST_PAIRS)):
        if not len(left):
            return found
        near, far = _seeded(seeds[left], 4 * last)
        columns = np.arange(len(left))
        for pair in range(first, last):
            radius, angle = _polar(_words(near, far, 4 * pair, 4, columns))
            for wave in (np.cos, np.sin):
                noise = _rounded(radius * wave(angle)) * std
                # A number that is too large is replaced in the next round.
                found[left] = noise
                large = np.flatnonzero(np.abs(noise) >= limit)
                left, columns = left[large], columns[large]
                radius, angle = radius[large], angle[large]
    found[left] = [_late(int(seed), std, limit) for seed in seeds[left]]
    return found


def uniform(seeds: Seeds) -> NDArray[np.float64]:
    """Return, for each seed, the first ``torch.rand(1).item()``."""
    words = _words(*_seeded(seeds, 1), 0, 1, np.arange(len(seeds)))[0]
    return np.asarray((words & np.uint32(2**24 - 1)) * 2.0**-24)


def _pairs_needed(num_seeds: int, std: float, limit: float) -> int:
    """
    Return the number of pairs of normal numbers to draw for every seed, at most `EARLY`.

    With a result below `EARLY`, at most about one of the seeds has no number within *limit* in its
    pairs.
    """
    missed = math.erfc(limit / (std * math.sqrt(2))) if std else 0.0
    if missed * num_seeds < 1:
        return 1
    return min(EARLY, math.ceil(-math.log(num_seeds) / math.log(missed) / 2) + 1)


def _seeded(seeds: Seeds, count: int) -> tuple[Words, Words]:
    """
    Return the words of each generator's state from which its first *count* outputs are made.

    These are the first *count* + 1 words and the *count* words from `SHIFT` on, one row per word.
    """
    rows = np.empty((2 * count + 1, len(seeds)), np.uint32)
    near, far = rows[: count + 1], rows[count + 1 :]
    # The words between are only on the way: kept, they would not fit into a cache.
    between, mixed = np.empty((2, len(seeds)), np.uint32)
    words = [*near, *[between] * (SHIFT - len(near)), *far]
    words[0][:] = seeds & np.uint64(0xFFFFFFFF)
    shift, xor, multiply, add = np.right_shift, np.bitwise_xor, np.multiply, np.add
    for index, (before, word) in zip(INDICES[1:], pairwise(words), strict=False):
        # In place: new arrays would take most of the time, and to write where one has read takes
        # little more than half as long as to write elsewhere. Outputs are given by position: by
        # name, they would take a twentieth of the time. Products wrap around modulo 2 ** 32.
        shift(before, TOP_BITS, mixed)
        xor(before, mixed, word)
        multiply(word, FACTOR, word)
        add(word, index, word)
    return near, far


def _words(near: Words, far: Words, start: int, count: int, columns: NDArray[np.int64]) -> Words:
    """Return *count* outputs of the generators in *columns*, beginning with output *start*."""
    near, far = near[start : start + count + 1], far[start : start + count]
    if len(columns) < near.shape[1]:
        near, far = near.take(columns, axis=1), far.take(columns, axis=1)
    y, mixed = near[:-1] & UPPER, near[1:] & LOWER
    y |= mixed
    # The product is TWIST where the last bit is 1, and else 0.
    np.bitwise_and(y, np.uint32(1), out=mixed)
    mixed *= TWIST
    y >>= np.uint32(1)
    y ^= mixed
    y ^= far
    for shift, amount, mask in TEMPERING:
        shift(y, amount, mixed)
        if mask is not None:
            mixed &= mask
        y ^= mixed
    return y


def _polar(words: Words) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the radius and the angle that torch computes from four *words* (Box and Muller)."""
    wide = words.astype(np.uint64)
    bits = wide[::2]
    bits <<= np.uint64(32)
    bits |= wide[1::2]
    bits &= np.uint64(2**53 - 1)
    angle, radius = bits * 2.0**-53
    np.negative(radius, out=radius)
    np.log1p(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    angle *= 2.0 * np.pi
    return radius, angle


def _rounded(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return *numbers* rounded to float32, as torch stores them, and converted to float64."""
    return numbers.astype(np.float32).astype(np.float64)


def _late(seed: int, std: float, limit: float) -> float:
    """Return the first number within *limit*, which comes after the first `MOST_PAIRS` pairs."""
    # RandomState seeds the same generator in the same way, and numpy keeps its stream (NEP 19).
    words = np.random.RandomState(seed % 2**32)
    while True:
        four = words.randint(0, 2**32, size=(LATE, 4), dtype=np.uint32)
        radius, angle = _polar(four.T)
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        noise = _rounded(pairs.reshape(-1)) * std
        small = np.flatnonzero(np.abs(noise) < limit)
        if len(small):
            return float(noise[small[0]])
