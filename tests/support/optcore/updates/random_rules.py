"""Random pure rules: any expressions over parameter, gradient, slots and numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Rule
from tests.support.optcore.updates.pure import rule_of

OF_ONE: list[Callable[[Any], Any]] = [
    lambda x: -x,
    lambda x: x.sign(),
    lambda x: x.abs(),
    lambda x: x.abs().sqrt(),
    torch.sqrt,
    torch.square,
    lambda x: x.neg(),
    lambda x: x**2,
    lambda x: x.clamp(-0.5, 0.5),
    torch.tanh,
    torch.reciprocal,
]
OF_TWO: list[Callable[[Any, Any], Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    lambda x, y: x * (y > x),
    torch.maximum,
    lambda x, y: torch.minimum(y, x),
    lambda x, y: x.mul(y),
]
WITH_NUMBER: list[Callable[[Any, Any], Any]] = [
    lambda x, c: c - x,
    lambda x, c: c / x,
    lambda x, c: c + x,
    lambda x, c: c * x,
    lambda x, c: x - c,
    lambda x, c: x / (c + 2),
    lambda x, c: x * (1 - c),
    lambda x, c: x if not c else x * c,
    lambda x, c: x * (x >= c),
]
OF_TWO_WITH_NUMBER: list[Callable[[Any, Any, Any], Any]] = [
    torch.lerp,
    lambda x, y, c: torch.add(x, y, alpha=c),
    lambda x, y, c: torch.sub(x, y, alpha=-c),
    lambda x, y, c: torch.addcmul(x, y, y, value=c),
    lambda x, y, c: torch.addcdiv(y, x, x, value=1 - c),
    lambda x, y, c: x.addcmul(y, x, value=c),
]
NUMBERS = {"lr": 0.1, "beta": 0.9, "torch": 1.0, "self": -0.3, "nothing": 0.0}


@dataclass(frozen=True)
class _Step:
    """One operation: what it computes, of which earlier values, and with which number."""

    compute: Callable[..., Any]
    values: list[int]
    number: str | float | None

    def __call__(self, values: list[Any], numbers: Mapping[str, Any]) -> Any:
        given = [values[i] for i in self.values]
        if self.number is None:
            return self.compute(*given)
        return self.compute(
            *given, numbers[self.number] if isinstance(self.number, str) else self.number
        )


def random_rule(seed: int) -> tuple[Rule, int]:
    """Return a rule, which is the same for one *seed*, and the number of its slots."""
    choice = random.Random(seed)
    num_slots = choice.randint(0, 4)
    num_states = 2 + num_slots
    steps = [_step(choice, num_states + i) for i in range(choice.randint(0, 10))]
    results = [_result(choice, i, num_states, len(steps)) for i in (0, *range(2, num_states))]

    def update(*states: Tensor, **numbers: float) -> tuple[Tensor, ...]:
        values: list[Any] = list(states)
        for step in steps:
            values.append(step(values, numbers))
        return tuple(values[i] for i in results)

    return rule_of(update, *(f"slot{i}" for i in range(num_slots))), num_slots


def _step(choice: random.Random, known: int) -> _Step:
    numbers: list[str | float] = [*NUMBERS, 1, 0.5, 3e-9]
    number = choice.choice(numbers)
    x, y = choice.randrange(known), choice.randrange(known)
    shape = choice.randrange(4)
    if shape == 0:
        return _Step(choice.choice(OF_ONE), [x], None)
    if shape == 1:
        return _Step(choice.choice(OF_TWO), [x, y], None)
    if shape == 2:
        return _Step(choice.choice(WITH_NUMBER), [x], number)
    return _Step(choice.choice(OF_TWO_WITH_NUMBER), [x, y], number)


def _result(choice: random.Random, own: int, num_states: int, num_steps: int) -> int:
    """Return which value is the new one of state *own*: mostly computed, else any old one."""
    kind = choice.random()
    if kind < 0.1:
        return own
    if kind < 0.3 or not num_steps:
        return choice.randrange(num_states)
    return num_states + choice.randrange(num_steps)
