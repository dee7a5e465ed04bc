"""Rules that a program in place can get wrong: what they return is the pure function's, in bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from optcore.optimizers.engine.engines import Eager
from optcore.optimizers.engine.tensorwise import Whole
from tests.support.optcore.updates.pure import in_place, pure, rule_of, same, tensors

Update = Callable[..., tuple[Tensor, ...]]
LR = {"lr": 0.1}


def keeps_the_gradient(p: Tensor, g: Tensor, kept: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * (g - kept), g


def keeps_the_parameter(p: Tensor, g: Tensor, kept: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * g * kept, p


def swaps(p: Tensor, g: Tensor, a: Tensor, b: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * (a + g), b, a


def rotates(
    p: Tensor, g: Tensor, a: Tensor, b: Tensor, c: Tensor, *, lr: float
) -> tuple[Tensor, ...]:
    return p - lr * (a + g), b, c, a


def trades_with_the_parameter(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return a, p


def gives_two_slots_one_value(
    p: Tensor, g: Tensor, a: Tensor, b: Tensor, *, lr: float
) -> tuple[Tensor, ...]:
    mean = torch.lerp(a, g, 0.1)
    return p - lr * mean * b, mean, mean


def is_its_own_average(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    moved = p - lr * g
    return moved, moved


def reads_an_old_slot_late(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    new = a * 0.9 + g
    return p - lr * (new - a), new


def reads_the_old_parameter_late(
    p: Tensor, g: Tensor, a: Tensor, *, lr: float
) -> tuple[Tensor, ...]:
    new = p - lr * g
    return new, a + (new - p)


def subtracts_from_a_number(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * (1 - g), lr - a


def divides_a_number(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * (1 / g), lr / (3 - a)


def raises_a_number(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * g**2, 2**a


def compares(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    return p - lr * g * (g * a > 0), a * (a <= g)


def computes_what_nobody_reads(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Tensor, ...]:
    _ = torch.sqrt(a)
    return p - lr * g, a


RULES: list[tuple[Update, list[str]]] = [
    (keeps_the_gradient, ["kept"]),
    (keeps_the_parameter, ["kept"]),
    (swaps, ["a", "b"]),
    (rotates, ["a", "b", "c"]),
    (trades_with_the_parameter, ["a"]),
    (gives_two_slots_one_value, ["a", "b"]),
    (is_its_own_average, ["a"]),
    (reads_an_old_slot_late, ["a"]),
    (reads_the_old_parameter_late, ["a"]),
    (subtracts_from_a_number, ["a"]),
    (divides_a_number, ["a"]),
    (raises_a_number, ["a"]),
    (compares, ["a"]),
    (computes_what_nobody_reads, ["a"]),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("update", "slots"), RULES, ids=lambda part: getattr(part, "__name__", ""))
def test_a_legal_rule_gives_the_bits_of_its_function(
    update: Update, slots: list[str], dtype: torch.dtype
) -> None:
    rule = rule_of(update, *slots)
    given = tensors(2 + len(slots), dtype)

    after, grad = in_place(Eager(rule, {}), given, LR)

    assert same(after, pure(rule, given, LR))
    assert same([grad], [given[1]])


WHOLE = [(update, slots) for update, slots in RULES if update is not compares]


@pytest.mark.parametrize(("update", "slots"), WHOLE, ids=lambda part: getattr(part, "__name__", ""))
def test_a_rule_that_is_not_traced_may_return_old_values_too(
    update: Update, slots: list[str]
) -> None:
    """Results are copied one after another: each must be read before it is overwritten."""
    rule = rule_of(update, *slots, shapes=lambda shape: dict.fromkeys(slots, tuple(shape)))
    given = [tensor.reshape(6, 6) for tensor in tensors(2 + len(slots), size=36)]

    after, _ = in_place(Whole(rule, {}), given, LR)

    assert same(after, pure(rule, given, LR))


def test_a_rule_that_is_not_traced_may_return_views_of_old_values() -> None:
    def turns(p: Tensor, g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        return p.T, b.T, a + g

    rule = rule_of(turns, "a", "b", shapes=lambda shape: {})
    given = [tensor.reshape(6, 6) for tensor in tensors(4, size=36)]

    after, _ = in_place(Whole(rule, {}), given, {})

    assert same(after, pure(rule, given, {}))


NAMES = ["torch", "self", "param", "grad", "out", "lambda", "inf", "scratch0", "add", "t", "_end"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_slots_and_numbers_mean_nothing_to_the_program(name: str) -> None:
    """A program is generated Python code; no name of a rule is a name in it."""

    def update(p: Tensor, g: Tensor, /, a: Tensor, **numbers: Any) -> tuple[Tensor, ...]:
        return p - numbers[name] * torch.sqrt(g.abs() + a), a + 1

    given = tensors(3)
    rule = rule_of(update, name)

    after, _ = in_place(Eager(rule, {}), given, {name: 0.5})

    assert same(after, pure(rule, given, {name: 0.5}))


def test_a_rule_that_asks_more_of_a_number_than_whether_it_is_0_is_refused() -> None:
    """The answer would be that of the first update, for all later ones."""

    def update(p: Tensor, g: Tensor, *, lr: float) -> tuple[Tensor, ...]:
        return (p - g * lr if lr > 0.5 else p,)

    with pytest.raises(
        ValueError, match="may only test whether a number is 0, got the operation gt"
    ):
        in_place(Eager(rule_of(update), {}), tensors(2), LR)


def test_an_operation_that_has_no_result_of_the_tensors_shape_is_refused() -> None:
    def update(p: Tensor, g: Tensor, *, lr: float) -> tuple[Tensor, ...]:
        return (p - lr * g.roll(1),)

    with pytest.raises(ValueError, match="must be elementwise and take out=, got roll"):
        in_place(Eager(rule_of(update), {}), tensors(2), LR)


def test_a_result_that_is_a_number_is_refused() -> None:
    def update(p: Tensor, g: Tensor, a: Tensor, *, lr: float) -> tuple[Any, ...]:
        return p - lr * g, lr * 2

    with pytest.raises(ValueError, match="a rule must return tensors"):
        in_place(Eager(rule_of(update, "a"), {}), tensors(3), LR)
