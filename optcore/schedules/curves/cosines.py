"""Curves of more than one cosine: restarts, two steps, and cosines under a line."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from optcore.schedules.curves.falls import between, cosine
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.numerics.random import normal


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
    if grow == one:
        cycle = np.floor(along)
        return cycle, along - cycle, one

    def begin(i: Array) -> Any:  # noqa: ANN401
        return (one - numbers.power(grow, i)) / (one - grow)

    inside = one - along * (one - grow)
    cycle = np.floor(numbers.log(inside) / numbers.log(np.asarray(grow)))
    if edges == "exact":
        cycle -= n * begin(cycle) > t
        cycle += n * begin(cycle + one) <= t
    if edges == "exact":
        return cycle, t - n * begin(cycle), n * numbers.power(grow, cycle)
    return cycle, along - begin(cycle), numbers.power(grow, cycle)


LEAST_TABLED = 1.01
"""From here on cycles grow so fast that no run has more of them than a small table."""


def _tabled_cycle(
    t: Array, length: int, t_mul: float, numbers: Numbers
) -> tuple[Array, Array, Any]:
    spans = [float(length)]
    starts = [0.0]
    longest = float(t.max(initial=0.0))
    while starts[-1] + spans[-1] <= longest:
        starts.append(starts[-1] + spans[-1])
        spans.append(length * t_mul ** len(spans))
    begin = np.asarray(starts, numbers.dtype)
    cycle = np.searchsorted(begin, t, side="right") - 1
    return cycle.astype(numbers.dtype), t - begin[cycle], np.asarray(spans, numbers.dtype)[cycle]


def two_step_cosine(
    *,
    lr: float,
    first: int,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    after_first: Literal["jump", "zero"] = "jump",
    past_end: Literal["hold", "rise"] = "hold",
) -> Curve:
    """
    Return a cosine over *first* steps, and after those one over *length*.

    With ``zero``, a cosine that is computed from the value before: at t = first that is the end,
    and a factor cannot raise it. It gets up again where PaddleOCR's recursion adds instead of
    multiplying, one step after each odd multiple of *length*.
    """
    early = cosine(lr=lr, length=first, end=end, end_fraction=end_fraction)
    late = cosine(lr=lr, length=length, end=end, end_fraction=end_fraction, past_end=past_end)
    floor = end if end_fraction is None else lr * end_fraction
    cycles_gone = max(0, -(-(first - length) // (2 * length)))
    awake = length + 1 + 2 * length * cycles_gone

    def f(t: Array) -> Array:
        after = np.asarray(late(t))
        if after_first == "zero":
            after = np.where(t < awake, floor, after)
        return np.where(t <= first, early(t), after)

    return f


def linear_cosine(
    *,
    lr: float,
    length: int,
    num_periods: float = 0.5,
    alpha: float = 0.0,
    beta: float = 0.001,
    initial_variance: float = 0.0,
    variance_decay: float = 0.55,
    seed: int = 0,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = lr * ((alpha + 1 - x + n) * c + beta), c a cosine and n noise."""
    top, n, pi, half, one = (
        numbers.lr(lr), numbers(length), numbers(np.pi), numbers(0.5), numbers(1),
    )  # fmt: skip
    waves, above, floor = numbers(2.0) * numbers(num_periods), numbers(alpha), numbers(beta)

    def f(t: Array) -> Array:
        at = np.minimum(numbers.steps(t), n)
        line = numbers.share(n - at, n)
        if initial_variance:
            # TF1 counts the noise's steps only as far as the decay goes.
            deviation = np.sqrt(initial_variance / (1 + at) ** variance_decay)
            line = line + normal(seed, t) * deviation
        wave = half * (one + numbers.cos(numbers.share(at, n, pi, waves)))
        return numbers.steps(np.asarray(top * ((above + line) * wave + floor)))

    return f
