"""Curves that go up and come down: one-cycle and cyclic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers


def one_cycle(
    *,
    lr: float,
    length: int,
    pct_start: float,
    start: float,
    end: float,
    shape: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
    past_end: Literal["hold", "go_on"] = "hold",
) -> Curve:
    """Return the phases start, lr, (start,) end, whose edges are one step short, as in torch."""
    peak = pct_start * length - 1
    edges = [0.0, peak, 2 * pct_start * length - 2] if three_phase else [0.0, peak]
    edges.append(float(length - 1))
    levels = [start, lr, start, end] if three_phase else [start, lr, end]
    begin, levels_from, levels_to = (
        np.array(edges[:-1]),
        np.array(levels[:-1]),
        np.array(levels[1:]),
    )
    span = np.diff(edges)
    inner = np.array(edges[1:-1])

    def f(t: Array) -> Array:
        at = np.minimum(t, length - 1) if past_end == "hold" else t
        phase = np.searchsorted(inner, at, side="left")
        x = (at - begin[phase]) / span[phase]
        a, b = levels_from[phase], levels_to[phase]
        if shape == "linear":
            return np.asarray((b - a) * x + a)
        return np.asarray(b + (a - b) / 2.0 * (np.cos(np.pi * x) + 1))

    return f


def cyclic(
    *,
    lr: float,
    base: float,
    up: int,
    down: int,
    mode: Literal["triangular", "triangular2", "exp_range", "scales"] = "triangular",
    gamma: float = 1.0,
    scales: Sequence[float] = (1.0,),
    scale_per: Literal["cycle", "step"] = "cycle",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = base + (lr - base) * height * scale."""
    total, ratio, one = numbers(up + down), numbers(up / (up + down)), numbers(1)
    floor, rise = numbers(base), numbers.lr(lr) - numbers(base)
    heights = np.asarray(scales, numbers.dtype)

    def scale(cycle: Array, t: Array) -> Array:
        if mode == "triangular2":
            return numbers.power(numbers(0.5), cycle - one)  # type: ignore[no-any-return]
        if mode == "exp_range":
            return numbers.power(numbers(gamma), t)  # type: ignore[no-any-return]
        at = cycle - one if scale_per == "cycle" else t
        return np.asarray(heights[np.minimum(at, len(heights) - 1).astype(np.int64)])

    def f(t: Array) -> Array:
        at = numbers.steps(t)
        cycle = np.floor(one + at / total)
        x = one + at / total - cycle
        height = rise * np.where(x <= ratio, x / ratio, (x - one) / (ratio - one))
        if mode != "triangular":
            height = height * scale(cycle, at)
        return np.asarray(floor + height)

    return f
