"""
The numbers that a schedule is computed in.

Most frameworks compute lr in Python's floats. TF, Keras and MindSpore's cells compute it in
float32, one operation after another, and how far that is from the formula grows with the run:
after a few decays in the sixth digit. A dialect is exact only with the same roundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.schedules.numerics.float32 import cosf, sinf

Array = NDArray[np.floating[Any]]
Curve = Callable[[Array], Array]
"""From t >= 0 to lr. A schedule compressed by its warmup is computed between steps, too."""


@dataclass(frozen=True)
class Numbers:
    """
    How the operations of one dialect round.

    Functions of float32 numbers are those of the C library, to the last bit or near it: cosine
    and sine are copied, the others computed in float64 and rounded once.

    Attributes:
        single: whether every result is a float32.
        rounded: whether parameters other than lr become float32 on their way in, as in a TF1
            schedule of a float64 lr.
        folds: whether lr - end is computed before it becomes a float32, as MindSpore does.
        reciprocals: whether constants are gathered, and a division by one is a multiplication by
            its reciprocal, as TF1's graph optimizer does.
    """

    single: bool = False
    rounded: bool = False
    folds: bool = False
    reciprocals: bool = False

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """The type of every value."""
        return np.float32 if self.single else np.float64

    def steps(self, t: Array) -> Array:
        """Return *t* as such numbers."""
        # Above 2 ** 24 float32 skips whole steps, as it does in the frameworks.
        return t.astype(self.dtype, copy=False)

    def lr(self, value: float) -> Any:  # noqa: ANN401
        """Return a learning rate as such a number."""
        # Not `rounded`: TF takes a schedule's type from lr, and casts the other parameters to it.
        return self.dtype(value)

    def __call__(self, value: float) -> Any:  # noqa: ANN401
        """Return a parameter as such a number."""
        # tf.cast makes a float32 tensor of a Python number before it makes a float64 one of that.
        return self.dtype(np.float32(value) if self.rounded else value)

    def difference(self, a: float, b: float) -> Any:  # noqa: ANN401
        """Return lr *a* less lr *b*."""
        return self.dtype(a - b) if self.folds else self.lr(a) - self(b)

    def share(self, t: Array, n: Any, *factors: Any) -> Array:  # noqa: ANN401
        """Return *t* / *n*, times the constant *factors*, the last one first."""
        if self.reciprocals:
            constant = self.dtype(1) / n
            for factor in reversed(factors):
                constant = factor * constant
            return np.asarray(t * constant)
        part = t / n
        for factor in reversed(factors):
            part = factor * part
        return np.asarray(part)

    def cos(self, x: Array) -> Array:
        """Return the cosine of *x*."""
        return cosf(x) if self.single else np.cos(x)

    def sin(self, x: Array) -> Array:
        """Return the sine of *x*."""
        return sinf(x) if self.single else np.sin(x)

    def exp(self, x: Array) -> Array:
        """Return e ** *x*."""
        return self._once(np.exp, x)

    def log(self, x: Array) -> Array:
        """Return the natural logarithm of *x*."""
        return self._once(np.log, x)

    def power(self, base: Any, exponent: Any) -> Any:  # noqa: ANN401
        """Return *base* ** *exponent*; a factor of 0 or an overflow raises no warning."""
        with np.errstate(over="ignore", under="ignore"):
            if not self.single:
                return _power(base, exponent, DOUBLE_ZERO)
            # numpy's power of float32 numbers differs from this in one of a thousand.
            wide = _power(
                np.asarray(base, np.float64), np.asarray(exponent, np.float64), SINGLE_ZERO
            )
            return wide.astype(np.float32)

    def _once(self, function: Callable[[Array], Array], x: Array) -> Array:
        if not self.single:
            return function(x)
        with np.errstate(under="ignore"):
            return function(x.astype(np.float64)).astype(np.float32)


def _power(base: Any, exponent: Any, zero: float) -> Any:  # noqa: ANN401
    """Return *base* ** *exponent*, without computing zeros: an underflow takes 20 times as long."""
    # The logarithm below takes a base above 0.
    if np.ndim(base) or not np.ndim(exponent) or not base > 0:
        return np.power(base, exponent)
    lost = exponent * np.log(base) < zero
    if not lost.any():
        return np.power(base, exponent)
    found = np.zeros_like(exponent)
    found[~lost] = np.power(base, exponent[~lost])
    return found


# Half the smallest number above 0 and less are rounded to 0: 2 ** -1075 is e ** -745.1 and
# 2 ** -150 is e ** -103.97.
DOUBLE_ZERO, SINGLE_ZERO = -746.0, -104.0
"""Exponents of e below which a number is 0."""

DOUBLE = Numbers()
"""Python's floats."""
