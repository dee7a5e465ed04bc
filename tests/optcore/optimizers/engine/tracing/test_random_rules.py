"""Whatever a pure rule computes, its program computes in place, bit for bit."""

from __future__ import annotations

import pytest
import torch

from optcore.optimizers.engine.engines import Eager
from optcore.optimizers.engine.tensorwise import Whole
from tests.support.optcore.updates.pure import in_place, pure, same, tensors
from tests.support.optcore.updates.random_rules import NUMBERS, random_rule

DAILY, BATCH, BATCHES = 400, 500, 16


def differing(seeds: range) -> list[int]:
    """Return the *seeds* whose rule in place, twice in a row, is not the pure function."""
    return [seed for seed in seeds if not _holds(seed)]


def _holds(seed: int) -> bool:
    rule, num_slots = random_rule(seed)
    dtype = (torch.float32, torch.float64, torch.bfloat16)[seed % 3]
    given = tensors(2 + num_slots, dtype)
    engine = Eager(rule, {})
    for _ in range(2):
        after, grad = in_place(engine, given, NUMBERS)
        if not same([*after, grad], [*pure(rule, given, NUMBERS), given[1]]):
            return False
        given = [after[0], given[1], *after[1:]]
    return True


def test_random_rules_in_place_are_the_pure_ones() -> None:
    assert differing(range(DAILY)) == []


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_thousands_of_random_rules_in_place_are_the_pure_ones(batch: int) -> None:
    first = DAILY + batch * BATCH

    assert differing(range(first, first + BATCH)) == []


def test_random_rules_that_are_not_traced_are_the_pure_ones() -> None:
    for seed in range(200):
        rule, num_slots = random_rule(seed)
        given = tensors(2 + num_slots)

        after, _ = in_place(Whole(rule, {}), given, NUMBERS)

        assert same(after, pure(rule, given, NUMBERS)), seed


def test_random_rules_do_what_is_hard_in_place() -> None:
    """Swaps, kept gradients, shared values, and rules that need copies are among those of a day."""
    found = {"kept": 0, "swapped": 0, "shared": 0}
    for seed in range(DAILY):
        rule, num_slots = random_rule(seed)
        states = tensors(2 + num_slots)
        results = rule.update(*states, **NUMBERS)
        found["kept"] += any(result is states[1] for result in results)
        own = [states[0], *states[2:]]
        old = [
            (i, j) for i, r in enumerate(results) for j, s in enumerate(own) if r is s and i != j
        ]
        found["swapped"] += any((j, i) in old for i, j in old)
        found["shared"] += len({id(result) for result in results}) < len(results)

    assert min(found.values()) >= 10, found
