"""A cosine wave multiplied by a falling line, with and without noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from optcore.schedules.base import Example, RunProblem, at_least_a_step
from optcore.schedules.dialects import Dialectal, ScheduleDialect
from optcore.schedules.numerics.numbers import DOUBLE, Array, Curve, Numbers
from optcore.schedules.numerics.random import normal
from optcore.spec.duration import Duration, RunLength


class BaseLinearCosine(Dialectal):
    """Base class for the linear cosine with and without noise."""

    DIALECTS: ClassVar[tuple[ScheduleDialect, ...]] = ("tf1",)

    length: Duration | None = None
    """How long the decay takes; null for the whole run."""
    num_periods: float = Field(0.5, ge=0)
    """The number of cosine periods in length."""
    alpha: float = Field(0.0, ge=0)
    """The constant that is added to the line, 1 - x."""
    beta: float = Field(0.001, ge=0)
    """The constant that is added to the product of line and cosine."""

    def problems_in(self, run: RunLength) -> Iterator[RunProblem]:
        """Also yield a problem if *length* rounds to 0 steps."""
        yield from super().problems_in(run)
        yield from at_least_a_step("length", self.length, run)

    def _formula(self, lr: float, run: RunLength) -> Curve:
        return linear_cosine(
            lr=lr,
            length=run.span(self.length),
            num_periods=self.num_periods,
            alpha=self.alpha,
            beta=self.beta,
            numbers=self.numbers,
            **self._noise(),
        )

    def _noise(self) -> dict[str, Any]:
        return {}


class LinearCosine(BaseLinearCosine):
    """
    A cosine wave multiplied by a falling line.

    x is min(t, length) / length, and c is (1 + cos(pi * 2 * num_periods * x)) / 2::

        f(t) = lr * ((alpha + 1 - x) * c + beta)

    The first value is lr * (1 + alpha + beta), which is above lr if alpha or beta is positive.

    References:
        Bello et al., Neural Optimizer Search with Reinforcement Learning, 2017, section 5.
        https://arxiv.org/abs/1709.07417
        TF 2.21 tf.compat.v1.train.linear_cosine_decay.
    """

    EXAMPLE: ClassVar[Example] = {"num_periods": 3.0, "alpha": 0.1}

    kind: Literal["linear_cosine"]


class NoisyLinearCosine(BaseLinearCosine):
    """
    The linear cosine with noise added to the line; the noise decreases during the run.

    x is min(t, length) / length, c is (1 + cos(pi * 2 * num_periods * x)) / 2, and z(seed, t) is a
    standard normal number that depends only on seed and t::

        n    = z(seed, t) * sqrt(initial_variance / (1 + min(t, length)) ** variance_decay)
        f(t) = lr * ((alpha + 1 - x + n) * c + beta)

    The noise at a step is always the same. TF, in contrast, draws new noise at every call, so that
    no run can be repeated or resumed exactly.

    If n < -(alpha + 1 - x), lr may be negative. To prevent a negative lr, put the schedule into a
    clamp.

    References:
        TF 2.21 tf.compat.v1.train.noisy_linear_cosine_decay.
    """

    EXAMPLE: ClassVar[Example] = {"seed": 1}

    kind: Literal["noisy_linear_cosine"]
    initial_variance: float = Field(1.0, ge=0)
    """The variance of the noise at the first step."""
    variance_decay: float = Field(0.55, ge=0)
    """The exponent with which the variance decreases; 0 for constant noise."""
    seed: int = Field(0, ge=0, lt=2**63)
    """The seed of the noise."""

    def _noise(self) -> dict[str, Any]:
        return {
            "initial_variance": self.initial_variance,
            "variance_decay": self.variance_decay,
            "seed": self.seed,
        }


def linear_cosine(
    *,
    lr: float,
    length: float,
    num_periods: float = 0.5,
    alpha: float = 0.0,
    beta: float = 0.001,
    initial_variance: float = 0.0,
    variance_decay: float = 0.55,
    seed: int = 0,
    numbers: Numbers = DOUBLE,
) -> Curve:
    """Return the curve that `NoisyLinearCosine` documents, without noise if the variance is 0."""
    top, n, pi, half, one = (
        numbers.lr(lr), numbers(length), numbers(np.pi), numbers(0.5), numbers(1),
    )  # fmt: skip
    half_periods, above, floor = numbers(2.0) * numbers(num_periods), numbers(alpha), numbers(beta)

    def f(t: Array) -> Array:
        at = np.minimum(numbers.steps(t), n)
        line = numbers.share(n - at, n)
        if initial_variance:
            # In TF1 the variance no longer decreases after the end of the decay.
            deviation = np.sqrt(initial_variance / (1 + at) ** variance_decay)
            line = line + normal(seed, t) * deviation
        # In TF's order: x times 2 * num_periods, times pi. TF's graph optimizer combines all three
        # constants.
        wave = half * (one + numbers.cos(numbers.share(at, n, pi, half_periods)))
        # Rounded once more at the end, since the noise is in float64.
        return numbers.steps(np.asarray(top * ((above + line) * wave + floor)))

    return f
