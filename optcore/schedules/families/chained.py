"""Compute each lr from the previous lr, as torch's schedulers do, alone or chained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.dialects import Dialectal
from optcore.schedules.families.cosine import Cosine
from optcore.schedules.families.decays import Exponential
from optcore.schedules.families.linear import Linear
from optcore.schedules.families.listed import Multiplicative
from optcore.schedules.families.piecewise import Constant
from optcore.schedules.families.polynomial import Polynomial
from optcore.schedules.families.step import MultiStep, Step
from optcore.schedules.numerics.numbers import Array, Curve
from optcore.schedules.numerics.recursion import from_table, running
from optcore.spec.duration import RunLength

STEPS = (Constant, Cosine, Exponential, Linear, MultiStep, Multiplicative, Polynomial, Step)
"""Schedules for which torch has a scheduler that computes lr from the previous lr."""
KINDS = "constant, cosine, exponential, linear, multi_step, multiplicative, polynomial, step"
FEW = 65_536
"""Up to this number of steps, only the steps needed are computed; above, all steps of the run."""


class Steps(NamedTuple):
    """
    How one of torch's schedulers changes lr: at each t >= 1, lr becomes factor * lr + term.

    Attributes:
        first: the factor that the scheduler's constructor applies to lr at t = 0.
        factors: a function that takes the array t = 1, 2, 3, ... and returns the factor at each t.
        terms: a function that takes the same array and the factors, and returns the term at each t;
            None if all terms are 0.
    """

    first: float
    factors: Callable[[Array], Array]
    terms: Callable[[Array, Array], Array] | None = None


def refusals(part: ScheduleSpec) -> Iterator[str]:
    """Yield each reason why no scheduler of torch computes the lr of *part*."""
    if not isinstance(part, STEPS):
        yield f"kind must be one of {KINDS} in a product of dialect torch, got {part.kind!r}"
        return
    if (part.dialect, part.precision) != ("torch", "float64"):
        yield (
            f"dialect must be torch, with precision float64, in a product of dialect torch, got "
            f"{part.dialect} with {part.precision}"
        )
    if part.warmup is not None:
        yield (
            "warmup must be null in a product of dialect torch, whose warmup is a linear schedule "
            "that rises"
        )
    for name, wanted in _torch_has_not(part):
        value = getattr(part, name)
        if value != wanted:
            yield f"{name} must be {_word(wanted)} in a product of dialect torch, got {value!r}"


def chained(parts: Sequence[ScheduleSpec], lr: float, run: RunLength) -> Curve:
    """Return the lr of torch's ChainedScheduler: at each step, all *parts* change lr in turn."""
    steps = [steps_of(part, lr, run) for part in parts]
    first = lr
    for each in steps:
        first = first * each.first

    def table(size: int) -> Array:
        size = size if size <= FEW else max(size, run.total_steps)
        t = np.arange(1, size, dtype=np.float64)
        factors, terms = np.ones(size - 1), np.zeros(size - 1)
        for each in steps:
            times = each.factors(t)
            factors *= times
            if terms.any():
                terms *= times
            if each.terms is not None:
                terms += each.terms(t, times)
        return running(first, factors, terms)

    return from_table(table)


def steps_of(part: ScheduleSpec, lr: float, run: RunLength) -> Steps:
    """Return how *part* changes lr; *part* is a schedule that `refusals` accepts."""
    match part:
        case Constant():
            at = np.inf if part.length is None else np.ceil(run.span(part.length))
            back = 1.0 / part.factor if part.factor else 1.0
            return Steps(part.factor, lambda t: np.where(t == at, back, 1.0))
        case Linear():
            return _linear(part, lr, run.span(part.length))
        case Exponential():
            return Steps(1.0, lambda t: np.full_like(t, part.rate))
        case Step():
            every = run.span(part.every)
            return Steps(1.0, lambda t: _powers(part.gamma, t // every - (t - 1) // every))
        case MultiStep():
            edges = np.ceil([run.span(milestone) for milestone in part.milestones])
            return Steps(
                part.gamma ** int((edges == 0).sum()),
                lambda t: _powers(part.gamma, _passed(edges, t) - _passed(edges, t - 1)),
            )
        case Multiplicative():
            listed = np.asarray([1.0, *part.factors, 1.0])
            return Steps(1.0, lambda t: listed[np.minimum(t, len(listed) - 1).astype(np.int64)])
        case Polynomial():
            return _polynomial(run.span(part.length), part.power)
        case Cosine():
            return _cosine(lr, run.span(part.length), part.absolute_end(lr))
    raise AssertionError(part.kind)


def _torch_has_not(part: Dialectal) -> Iterator[tuple[str, object]]:
    """Yield the name of each field that torch's scheduler lacks, with the only valid value."""
    match part:
        case Cosine():
            yield from (("past_end", "rise"), ("num_cycles", 0.5), ("exponent", 1.0))
        case Exponential():
            yield from (("every", 1), ("staircase", False), ("begin", 0), ("end", None))
        case Linear():
            yield "begin", 0
        case Polynomial():
            yield from (("end", 0.0), ("end_fraction", None), ("cycle", False), ("begin", 0))


def _word(value: object) -> str:
    words = {None: "null", False: "false"}
    return words[value] if value is None or value is False else str(value)


def _powers(gamma: float, drops: Array) -> Array:
    return np.where(drops == 0, 1.0, np.power(gamma, drops))


def _passed(edges: Array, t: Array) -> Array:
    return np.searchsorted(np.sort(edges), t, side="right").astype(np.float64)


def _linear(part: Linear, lr: float, length: float) -> Steps:
    start = part.start_fraction
    rise = (part.end / lr if part.end_fraction is None else part.end_fraction) - start

    def factors(t: Array) -> Array:
        at = np.minimum(t, length)
        return np.where(t > length, 1.0, 1.0 + rise / (length * start + (at - 1) * rise))

    return Steps(start, factors)


def _polynomial(length: float, power: float) -> Steps:
    def factors(t: Array) -> Array:
        at = np.minimum(t, length)
        found = (1.0 - at / length) / (1.0 - (at - 1) / length)
        return np.where(t > length, 1.0, np.power(found, power))

    return Steps(1.0, factors)


def _cosine(lr: float, length: float, end: float) -> Steps:
    # One step after each low point torch adds *lift*, since the ratio would divide by 0 there.
    lift = (lr - end) * (1 - np.cos(np.pi / length)) / 2

    def factors(t: Array) -> Array:
        heights = 1 + np.cos(np.pi * np.concatenate([[0.0], t]) / length)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = heights[1:] / heights[:-1]
        found[_after_low_points(len(t))] = 1.0
        return np.asarray(found)

    def terms(t: Array, factors: Array) -> Array:
        found = end * (1.0 - factors)
        found[_after_low_points(len(t))] = lift
        return found

    def _after_low_points(size: int) -> NDArray[np.int64]:
        """
        Return the index t - 1 of each step t that follows a low point of the cosine.

        These are the t for which (t - 1 - length) % (2 * length) is 0.
        """
        low = length * (1 + 2 * np.arange(size / (2 * length) + 1))
        return np.asarray(low[(low % 1 == 0) & (low < size)], np.int64)

    return Steps(1.0, factors, terms)
