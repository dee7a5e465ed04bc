"""The product in dialect torch: schedulers that each compute lr from the lr before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import optcore
from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.families import chained
from optcore.schedules.numerics.recursion import running
from optcore.spec.errors import SpecError

COSINE: dict[str, Any] = {"kind": "cosine", "dialect": "torch", "end": 0.01, "length": 50}


def product(*schedules: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "product", "dialect": "torch", "schedules": list(schedules)}


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000, 1023, 5000])
def test_values_by_blocks_are_those_one_after_the_other(size: int) -> None:
    random = np.random.default_rng(size)
    factors, terms = random.uniform(0, 1.2, size), random.normal(size=size)
    expected = [0.5]
    for factor, term in zip(factors, terms, strict=True):
        expected.append(factor * expected[-1] + term)

    found = running(0.5, factors, terms)

    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("part", [COSINE, {"kind": "step", "dialect": "torch", "every": 7}])
def test_a_single_scheduler_is_its_own_formula(part: dict[str, Any]) -> None:
    t = np.arange(50)

    found = optcore.make_schedule(product(part), lr=0.1, total_steps=50)(t)

    alone = optcore.make_schedule(part, lr=0.1, total_steps=50)(t)
    np.testing.assert_allclose(found, alone, rtol=1e-11)


REFUSED: list[tuple[dict[str, Any], str]] = [
    (
        {"kind": "cyclic", "base": 0.5, "up": 3, "dialect": "torch"},
        f"kind must be one of {chained.KINDS} in a product of dialect torch, got 'cyclic'",
    ),
    (
        {"kind": "cosine"},
        "dialect must be torch, with precision float64, in a product of dialect torch, got plain "
        "with float64",
    ),
    ({**COSINE, "warmup": {"length": 5}}, "warmup must be null in a product of dialect torch"),
    ({**COSINE, "past_end": "hold"}, "past_end must be rise in a product of dialect torch"),
    (
        {"kind": "exponential", "dialect": "torch", "rate": 0.9, "every": 2},
        "every must be 1 in a product of dialect torch, got 2",
    ),
    (
        {"kind": "polynomial", "dialect": "torch", "end": 0.1},
        "end must be 0.0 in a product of dialect torch, got 0.1",
    ),
]


@pytest.mark.parametrize(("part", "message"), REFUSED, ids=str)
def test_what_torch_cannot_chain_is_refused(part: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        optcore.make_schedule(product(COSINE, part), lr=0.1, total_steps=100)

    assert message in str(error.value)
    assert "schedules[1]" in str(error.value)


def test_the_kinds_in_the_error_are_those_that_torch_can_chain() -> None:
    kinds = [name for name, spec in SCHEDULES.items() if spec in chained.STEPS]

    assert ", ".join(sorted(kinds)) == chained.KINDS


def test_a_recursion_has_a_longest_run() -> None:
    with pytest.raises(SpecError) as error:
        optcore.make_schedule(product(COSINE), lr=0.1, total_steps=1_000_001)

    (problem,) = error.value.problems
    assert problem.param == "dialect"
    assert problem.message == (
        "dialect torch of a product needs a run of at most 1000000 steps, got 1000001: it computes "
        "each lr from the previous lr; use dialect plain"
    )
