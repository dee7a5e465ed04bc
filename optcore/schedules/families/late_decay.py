"""Schedules that stay near lr for most of the run and fall late in the run: REX and WSD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from optcore.schedules.base import Example, RunProblem, Variants, at_least_a_step
from optcore.schedules.families.annealing import Annealing, between
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve
from optcore.schedules.warmup import After
from optcore.spec.duration import Duration, RunLength, counted


class Rex(Annealing):
    """
    Reflected exponential: lr falls slowly at first, and then ever faster, to *end*.

    Writing x for min(t, length) / length and e for *end*, or for lr * *end_fraction* if that is
    given::

        f(t) = e + (lr - e) * (1 - x) / (1 - x / 2)

    References:
        Chen et al., REX: Revisiting Budgeted Training with an Improved Schedule, 2021.
        https://arxiv.org/abs/2107.04197
    """

    EXAMPLE: ClassVar[Example] = {}
    VARIANTS: ClassVar[Variants] = {"linear": {"kind": "linear"}}

    kind: Literal["rex"]

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return rex(lr=lr, length=run.span(self.length), **self._ends())


class WarmupStableDecay(Annealing):
    """
    A constant lr, then a fall to *end* over the last *decay* steps; with a warmup, a trapezoid.

    Writing x for (t - (length - decay)) / decay, limited to 0..1, and e for *end*, or for
    lr * *end_fraction* if that is given::

        linear           f(t) = e + (lr - e) * (1 - x)
        cosine           f(t) = e + (lr - e) * (1 + cos(pi * x)) / 2
        one_minus_sqrt   f(t) = e + (lr - e) * (1 - sqrt(x))
        one_minus_square f(t) = e + (lr - e) * (1 - x ** 2)

    References:
        Hu et al., MiniCPM, 2024, section 4. https://arxiv.org/abs/2404.06395
        Hagele et al., Scaling Laws and Compute-Optimal Training Beyond Fixed Training
        Durations, 2024 (1 - sqrt). https://arxiv.org/abs/2405.18392
        transformers 5.23 get_wsd_schedule.
    """

    # The fall ends with the run: a warmup takes its steps from the constant part.
    AFTER: ClassVar[After] = "overlap"
    EXAMPLE: ClassVar[Example] = {"decay": 100, "warmup": {"length": 40}}
    VARIANTS: ClassVar[Variants] = {"one_minus_sqrt": {"decay": 100, "shape": "one_minus_sqrt"}}

    kind: Literal["wsd"]
    decay: Duration
    """How long the fall takes, which is the last part of length."""
    shape: Literal["linear", "cosine", "one_minus_sqrt", "one_minus_square"] = "linear"
    """The shape of the fall."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *decay* comes to 0 steps or is longer than *length*."""
        yield from super().problems_in(run)
        yield from at_least_a_step("decay", self.decay, run)
        length = run.span(self.length)
        decay = run.span(self.decay)
        if decay > length:
            yield RunProblem(
                ("decay",),
                f"decay must be at most the length of {counted(length, 'step')}, got {decay:.12g}",
                self.decay,
            )

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return warmup_stable_decay(
            lr=lr,
            length=run.span(self.length),
            decay=run.span(self.decay),
            shape=self.shape,
            **self._ends(),
        )


def rex(*, lr: float, length: float, end: float = 0.0, end_fraction: float | None = None) -> Curve:
    """Return f(t) = end + (lr - end) * (1 - x) / (1 - x / 2) with x = min(t, length) / length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = np.minimum(t, length) / length
        # x is at most 1, so the divisor is at least a half.
        return lr_at((1 - x) / (1 - x / 2))

    return f


def warmup_stable_decay(
    *,
    lr: float,
    length: float,
    decay: float,
    shape: Literal["linear", "cosine", "one_minus_sqrt", "one_minus_square"],
    end: float = 0.0,
    end_fraction: float | None = None,
) -> Curve:
    """Return f(t) = lr up to t = length - decay, then a fall to the end value at t = length."""
    lr_at = between(lr, end, end_fraction, DOUBLE)

    def f(t: Array) -> Array:
        x = np.clip((t - (length - decay)) / decay, 0.0, 1.0)
        if shape == "cosine":
            return lr_at((1 + np.cos(np.pi * x)) / 2)
        if shape == "one_minus_sqrt":
            return lr_at(1 - np.sqrt(x))
        return lr_at(1 - (x if shape == "linear" else x * x))

    return f
