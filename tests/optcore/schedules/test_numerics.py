"""What the curves compute many steps at a time equals what it is step by step."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from optcore.schedules.families.restarts import per_cycle
from optcore.schedules.numerics.mersenne import normal_within, uniform
from optcore.schedules.numerics.numbers import Numbers

FEW = np.repeat(np.arange(5), 50)
"""Five cycles of 50 steps."""


def draws(seed: int) -> Iterator[float]:
    """Yield torch's normal numbers of one generator, as torch computes them."""
    words = np.random.RandomState(seed % 2**32)
    while True:
        a, b, c, d = (int(word) for word in words.randint(0, 2**32, size=4, dtype=np.uint32))
        u1, u2 = ((high << 32 | low) % 2**53 * 2.0**-53 for high, low in ((a, b), (c, d)))
        radius, angle = np.sqrt(-2 * np.log1p(-np.asarray([u2]))), 2 * np.pi * np.asarray([u1])
        yield from (radius * np.cos(angle)).astype(np.float32).tolist()
        yield from (radius * np.sin(angle)).astype(np.float32).tolist()


@pytest.mark.parametrize("num_seeds", [1, 3, 200])
@pytest.mark.parametrize(
    ("std", "limit"), [(0.05, 0.67), (1.0, 0.67), (1.0, 0.1), (5.0, 0.05), (0.0, 0.3)]
)
def test_the_noise_of_many_seeds_is_that_of_one_generator_each(
    std: float, limit: float, num_seeds: int
) -> None:
    seeds = np.arange(num_seeds, dtype=np.uint64) + np.uint64(2**32 - 2)

    noise = normal_within(seeds, std=std, limit=limit)

    assert noise.tolist() == [
        next(drawn * std for drawn in draws(int(seed)) if abs(drawn * std) < limit)
        for seed in seeds
    ]


def test_the_uniform_numbers_of_many_seeds_are_those_of_one_generator_each() -> None:
    seeds = np.asarray([0, 42, 2**32 - 1, 2**32, 2**63 - 1], np.uint64)

    expected = [
        int(np.random.RandomState(int(seed) % 2**32).randint(0, 2**32, dtype=np.uint32)) % 2**24
        for seed in seeds
    ]

    assert uniform(seeds).tolist() == [number * 2.0**-24 for number in expected]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "cycles", [FEW, FEW[::-1], FEW * 8 + 2**26, np.arange(250), np.asarray([3]), FEW[:0]]
)
def test_what_is_computed_once_per_cycle_is_what_every_step_gives(
    cycles: NDArray[np.int64], dtype: type[np.floating[Any]]
) -> None:
    each = cycles.astype(dtype)

    assert per_cycle(lambda numbers: numbers * 2, each).tolist() == (each * 2).tolist()


def test_what_few_cycles_need_is_computed_once_per_cycle() -> None:
    computed: list[float] = []

    def noted(numbers: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        computed.extend(numbers.tolist())
        return numbers

    per_cycle(noted, FEW.astype(np.float64))

    assert computed == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("rate", [0.5, 0.97, 1.0, 1.01])
def test_leaving_out_powers_that_underflow_changes_no_power(rate: float) -> None:
    exponents = np.linspace(0, 8000, 3001, dtype=np.float32)
    base = np.full(exponents.shape, np.float32(rate), np.float64)

    with np.errstate(over="ignore", under="ignore"):
        expected = np.power(base, exponents).astype(np.float32)

    assert np.array_equal(Numbers(single=True).power(np.float32(rate), exponents), expected)
