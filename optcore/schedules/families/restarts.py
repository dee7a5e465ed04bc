"""Warm restarts: one cosine after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import Example, RunProblem, Variants, finite_power
from optcore.schedules.dialects import Dialectal, ScheduleDialect, by_dialect
from optcore.schedules.families.annealing import Annealing, between
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.spec.duration import Duration, RunLength


class CosineRestarts(Annealing, Dialectal):
    """
    Cosines one after another: cycle i takes length * t_mul ** i steps and starts at m_mul ** i.

    Writing i for the number of cycles that are over, x for how far the current one is (0..1) and
    e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * m_mul ** i * (1 + cos(pi * x)) / 2

    The first step of a cycle is at its peak. Where cycles grow, TF and Keras find i from a
    logarithm in float32, whose rounding may put such a step at the end of the cycle before; the
    plain form computes the edges exactly.

    References:
        Loshchilov and Hutter, SGDR, 2017, section 3. https://arxiv.org/abs/1608.03983
        torch 2.13 CosineAnnealingWarmRestarts; Paddle 3.3.1 CosineAnnealingWarmRestarts; TF 2.21
        tf.compat.v1.train.cosine_decay_restarts; Keras 3.15.1 CosineDecayRestarts.
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("torch", "paddle", "keras", "tf1")
    EXAMPLE: ClassVar[Example] = {"length": 60, "t_mul": 2.0}
    VARIANTS: ClassVar[Variants] = {"m_mul 0.6": {"length": 100, "m_mul": 0.6}}

    kind: Literal["cosine_restarts"]
    length: Duration
    """Steps of the first cycle."""
    t_mul: float = Field(1.0, ge=1, le=1000)
    """How much longer each cycle is than the one before."""
    m_mul: float = Field(1.0, ge=0)
    """How much higher (or lower) each cycle starts than the one before."""
    edges: Literal["exact", "logarithm"] = by_dialect("exact", keras="logarithm", tf1="logarithm")
    """How the cycle of a step is found."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Yield also peaks that grow beyond all bounds."""
        yield from super().problems_in(run)
        # As if cycles did not grow: at least as many as there are.
        cycles = run.total_steps / max(1, run.steps(self.length))
        yield from finite_power("m_mul", self.m_mul, cycles)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return cosine_restarts(
            lr=lr,
            length=run.steps_or_one(self.length),
            t_mul=self.t_mul,
            m_mul=self.m_mul,
            edges=self.edges,
            # torch counts T_cur, but computes lr anew from it: no recursion to copy.
            numbers=self.numbers,
            **self._ends(),
        )


class CyclicalCosine(Annealing, Dialectal):
    """
    The same cosine again and again, jumping back to lr.

    Writing e for *end*, or for lr * *end_fraction*::

        f(t) = e + (lr - e) * (1 + cos(pi * (t mod length) / length)) / 2

    References:
        PaddleOCR CyclicalCosine (cycle, in epochs; its T_max is not used).
    """

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("paddleocr",)
    EXAMPLE: ClassVar[Example] = {"length": {"epochs": 5}}

    kind: Literal["cyclical_cosine"]
    length: Duration
    """Steps of a cycle."""

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return cosine_restarts(lr=lr, length=run.steps_or_one(self.length), **self._ends())


def cosine_restarts(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    t_mul: float = 1.0,
    m_mul: float = 1.0,
    edges: Literal["exact", "logarithm"] = "exact",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """
    Return f(t) = end + (lr - end) * m_mul ** i * (1 + cos(pi * x)) / 2.

    i is the number of cycles that are over, x the part of the current one that is. TF rounds
    end_fraction before it subtracts it from 1, here and only here.
    """
    if end_fraction is not None and numbers.single:
        end_fraction = float(np.float32(end_fraction))
    lr_at = between(lr, end, end_fraction, numbers)
    pi, half, one, scale = numbers(np.pi), numbers(0.5), numbers(1), numbers(m_mul)

    def f(t: Array) -> Array:
        cycle, since, span = _cycle(numbers.steps(t), length, t_mul, edges, numbers)
        height = half if m_mul == 1 else half * numbers.power(scale, cycle)
        # TF divides before it multiplies, the rest after.
        angle = pi * since / span if end_fraction is None else pi * (since / span)
        return lr_at(height * (one + numbers.cos(angle)))

    return f


# 1,400 cycles at most: those of the longest run, if the first has 1 step.
LEAST_TABLED = 1.01
"""From here on cycles grow so fast that no run has more of them than a small table."""


def _cycle(
    t: Array, length: int, t_mul: float, edges: str, numbers: Numbers
) -> tuple[Array, Array, Any]:
    """
    Return the number of the cycle that *t* is in, how much of it is over, and how much it has.

    The two are steps, or, where TF counts so, multiples of *length*.
    """
    n, one, grow = numbers(length), numbers(1), numbers(t_mul)
    if t_mul == 1 and edges == "exact":
        cycle = np.floor(t / n)
        return cycle, t - cycle * n, n
    if edges == "exact" and t_mul >= LEAST_TABLED:
        return _tabled_cycle(t, length, t_mul, numbers)
    along = numbers.share(t, n)
    # TF asks this of t_mul as a float32, where 1 + 1e-9 is 1; the other form would divide by 0.
    if grow == one:
        cycle = np.floor(along)
        return cycle, along - cycle, one

    def begin(i: Array) -> Any:  # noqa: ANN401
        return (one - numbers.power(grow, i)) / (one - grow)

    inside = one - along * (one - grow)
    cycle = np.floor(numbers.log(inside) / numbers.log(np.asarray(grow)))
    if edges == "exact":
        # The logarithm is rounded, and may put the first step of a cycle into the one before.
        cycle -= n * begin(cycle) > t
        cycle += n * begin(cycle + one) <= t
    if edges == "exact":
        return cycle, t - n * begin(cycle), n * numbers.power(grow, cycle)
    return cycle, along - begin(cycle), numbers.power(grow, cycle)


def _tabled_cycle(
    t: Array, length: int, t_mul: float, numbers: Numbers
) -> tuple[Array, Array, Any]:
    spans = [float(length)]
    starts = [0.0]
    longest = float(t.max(initial=0.0))
    # The beginning of one and the same table: no value depends on how far t reaches.
    while starts[-1] + spans[-1] <= longest:
        starts.append(starts[-1] + spans[-1])
        # By a power, not from the span before, whose rounding error would grow.
        spans.append(length * t_mul ** len(spans))
    begin = np.asarray(starts, numbers.dtype)
    cycle = np.searchsorted(begin, t, side="right") - 1
    return cycle.astype(numbers.dtype), t - begin[cycle], np.asarray(spans, numbers.dtype)[cycle]
