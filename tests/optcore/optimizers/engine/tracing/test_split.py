"""Rules that depend on norms: two programs compute what the pure function does, bit for bit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from optcore.optimizers.engine.normed import Normed
from optcore.optimizers.engine.tracing.split import Call, trace_norms, trace_split
from optcore.optimizers.rules.rule import Rule
from tests.support.optcore.updates.pure import in_place, pure, same, tensors
from tests.support.optcore.updates.random_rules import NUMBERS, random_rule

RATIO = "torch"
"""The number of random rules that depends on norms here."""
DAILY, BATCH, BATCHES = 300, 500, 16


def normed_rule(seed: int) -> tuple[Rule, int]:
    """Return a random rule in which `RATIO` depends on the norms of what it would compute for 1."""
    rule, num_slots = random_rule(seed)

    def norms(*states: Tensor, **given: Any) -> tuple[Tensor, ...]:
        return rule.update(*states, **{**given, RATIO: 1.0})[: 1 + seed % 3]

    def update(*states: Tensor, **numbers: float) -> tuple[Tensor, ...]:
        return rule.update(*states, **numbers)

    update.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in NUMBERS]
    )
    return replace(rule, update=update, norms=norms, ratios=ratio), num_slots


def ratio(norms: list[float], numbers: Mapping[str, float], flags: object) -> dict[str, float]:
    return {RATIO: 0.25 + sum(norm < 10 for norm in norms)}


def expected(rule: Rule, given: list[Tensor]) -> list[Tensor]:
    """Return what the functions of *rule* make of copies of *given*."""
    assert rule.norms is not None
    measured = rule.norms(*(tensor.clone() for tensor in given), **NUMBERS)
    norms = [float(torch.linalg.vector_norm(each)) for each in measured]
    return pure(rule, given, {**NUMBERS, **ratio(norms, {}, {})})


def differing(seeds: range) -> list[int]:
    """Return the *seeds* whose rule in place, twice in a row, is not the pure function."""
    return [seed for seed in seeds if not _holds(seed)]


def _holds(seed: int) -> bool:
    rule, num_slots = normed_rule(seed)
    given = tensors(2 + num_slots, (torch.float32, torch.float64)[seed % 2])
    engine = Normed(rule, {})
    known = {name: number for name, number in NUMBERS.items() if name != RATIO}
    for _ in range(2):
        after, grad = in_place(engine, given, known)
        if not same([*after, grad], [*expected(rule, given), given[1]]):
            return False
        given = [after[0], given[1], *after[1:]]
    return True


def test_random_rules_in_two_programs_are_the_pure_ones() -> None:
    assert differing(range(DAILY)) == []


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_thousands_of_random_rules_in_two_programs_are_the_pure_ones(batch: int) -> None:
    first = DAILY + batch * BATCH

    assert differing(range(first, first + BATCH)) == []


def adam_like(
    param: Tensor, grad: Tensor, mean: Tensor, *, beta: float, ratio: float
) -> tuple[Tensor, ...]:
    mean = torch.lerp(grad, mean, beta)
    step = mean / (mean.abs() + 1)
    return torch.add(param, step, alpha=-ratio), mean


def norms_of_step(param: Tensor, grad: Tensor, mean: Tensor, *, beta: float) -> tuple[Tensor, ...]:
    mean = torch.lerp(grad, mean, beta)
    return param, mean / (mean.abs() + 1)


def test_the_second_program_continues_from_what_the_first_has_computed() -> None:
    update = Call(adam_like, ["beta"], {})

    split = trace_split(update, Call(norms_of_step, ["beta"], {}), 1, late=["ratio"])

    assert (split.num_saved, split.num_measured) == (1, 0)
    assert split.norms == [0, 3]  # the parameter, and the buffer after parameter, gradient and slot
    assert split.first.num_passes == 4
    assert split.second is not None
    assert split.second.num_passes == 1
    assert (split.numbers, split.late) == (["beta"], ["ratio"])


def test_a_program_that_only_measures_changes_no_slot() -> None:
    split = trace_norms(Call(norms_of_step, ["beta"], {}), 1)
    given = [torch.randn(5) for _ in range(4)]
    before = [tensor.clone() for tensor in given[:3]]
    scratch = [torch.empty(5) for _ in range(split.first.num_scratch)]

    split.first.run(*given, 0.5, *scratch)

    assert all(map(torch.equal, given[:3], before))
    assert torch.equal(given[3], norms_of_step(*before, beta=0.5)[1])


def one_operation(param: Tensor, grad: Tensor, *, scale: float, ratio: float) -> tuple[Tensor, ...]:
    return (torch.add(param, grad * scale, alpha=-ratio),)


def test_one_operation_on_what_is_still_in_place_is_computed_again() -> None:
    """Reading its result would cost as much as reading what it is computed from."""
    of = Call(lambda param, grad, *, scale: (grad * scale,), ["scale"], {})

    split = trace_split(Call(one_operation, ["scale"], {}), of, 0, late=["ratio"])

    assert (split.num_saved, split.num_measured) == (0, 1)
    assert split.second is not None
    assert split.second.num_passes == 2
