"""Curves that fall from lr to an end. Each takes its end absolute, or as a fraction of lr."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers


def between(lr: float, end: float, end_fraction: float | None, numbers: Numbers) -> Curve:
    """
    Return the function from what is left (1 at the start, 0 at the end) to lr.

    ::

        end + (lr - end) * left
        lr * ((1 - end_fraction) * left + end_fraction)
    """
    if end_fraction is None:
        height, floor = numbers.difference(lr, end), numbers(end)
        return lambda left: np.asarray(floor + height * left)
    top, rest, part = numbers.lr(lr), numbers(1 - end_fraction), numbers(end_fraction)
    return lambda left: np.asarray(top * (rest * left + part))


def cosine(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    past_end: Literal["hold", "rise"] = "hold",
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = end + (lr - end) * (1 + cos(pi * min(t, length) / length)) / 2."""
    lr_at = between(lr, end, end_fraction, numbers)
    pi, n, half, one = numbers(np.pi), numbers(length), numbers(0.5), numbers(1)
    ratio_first = end_fraction is not None  # TF divides before it multiplies, the rest after

    def f(t: Array) -> Array:
        at = numbers.steps(np.minimum(t, length) if past_end == "hold" else t)
        if numbers.folds and numbers.single:
            wave = numbers.sin(pi * (at / n + half))
        else:
            wave = numbers.cos(numbers.share(at, n, pi) if ratio_first else pi * at / n)
        return lr_at(half * (one + wave))

    return f


def linear(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    start_fraction: float = 1.0,
) -> Curve:
    """Return f(t) = s + (e - s) * min(t, length) / length; s is lr * start_fraction, e the end."""
    start = lr * start_fraction
    stop = end if end_fraction is None else lr * end_fraction
    return lambda t: start + (stop - start) * (np.minimum(t, length) / length)


def polynomial(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    power: float = 1.0,
    cycle: bool = False,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return f(t) = end + (lr - end) * (1 - min(t, length) / length) ** power."""
    lr_at = between(lr, end, end_fraction, numbers)
    n, one, exponent = numbers(length), numbers(1), numbers(power)

    def f(t: Array) -> Array:
        at = numbers.steps(t)
        if cycle:
            whole: Any = n * np.maximum(np.ceil(at / n), one)
        else:
            at, whole = np.minimum(at, n), n
        part = at / whole if cycle else numbers.share(at, n)
        return lr_at(numbers.power(one - part, exponent))

    return f


def tanh(
    *,
    lr: float,
    length: int,
    end: float = 0.0,
    end_fraction: float | None = None,
    lower: float = -7.0,
    upper: float = 3.0,
) -> Curve:
    """Return a hyperbolic tangent from lr, at t = 0, to the end at t = length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = t / length
        left = (1 - np.tanh(lower * (1 - x) + upper * x)) / 2
        return lr_at(np.where(t < length, left, 0.0))

    return f


def rex(*, lr: float, length: int, end: float = 0.0, end_fraction: float | None = None) -> Curve:
    """Return f(t) = end + (lr - end) * (1 - x) / (1 - x / 2)."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = np.minimum(t, length) / length
        return lr_at((1 - x) / (1 - x / 2))

    return f


def warmup_stable_decay(
    *,
    lr: float,
    length: int,
    decay: int,
    shape: Literal["linear", "cosine", "one_minus_sqrt", "one_minus_square"],
    end: float = 0.0,
    end_fraction: float | None = None,
) -> Curve:
    """Return lr before length - decay, and from there *shape* down to the end at length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = np.clip((t - (length - decay)) / decay, 0.0, 1.0)
        if shape == "cosine":
            return lr_at((1 + np.cos(np.pi * x)) / 2)
        if shape == "one_minus_sqrt":
            return lr_at(1 - np.sqrt(x))
        return lr_at(1 - (x if shape == "linear" else x * x))

    return f
