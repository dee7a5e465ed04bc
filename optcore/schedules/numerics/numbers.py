"""
The precision and rounding with which a schedule is computed.

Most frameworks compute lr in Python's floats. TF, Keras and MindSpore's cells compute lr in
float32 and round after each operation. The difference from the formula grows during the run, and
after a few decays it reaches the sixth digit. A dialect equals its framework only if the dialect
rounds at the same places.
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
"""A function from t >= 0 to lr; a warmup with ``compress`` also gives fractions of steps as t."""


@dataclass(frozen=True)
class Numbers:
    """
    Arithmetic that rounds as one dialect's framework does.

    In float32, cosine and sine repeat the algorithm of the C library and give the same bits. The
    other functions are computed in float64 and rounded once; the last bit rarely differs.

    Attributes:
        single: whether every result is rounded to float32.
        rounded: whether parameters other than lr are first rounded to float32, as in a TF1
            schedule with a float64 lr.
        folds: whether lr - end is computed in float64 and then rounded, as in MindSpore.
        reciprocals: whether constants are combined, and a division by a constant becomes a
            multiplication by its reciprocal, as in TF1's graph optimizer.
        sines: whether a cosine is computed as a shifted sine, as in MindSpore's cells.
        optax: whether to compute in optax's order of operations. Quotients of steps are then
            float32 in either precision, and a linear decay adds to its last value. In a cosine, t
            is always multiplied by pi before it is divided by the length.
    """

    single: bool = False
    rounded: bool = False
    folds: bool = False
    reciprocals: bool = False
    sines: bool = False
    optax: bool = False

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """The NumPy type of every result: float32 or float64."""
        return np.float32 if self.single else np.float64

    def steps(self, t: Array) -> Array:
        """Return *t* converted to `dtype`."""
        # Above 2 ** 24, float32 cannot represent every step; it cannot in the frameworks either.
        return t.astype(self.dtype, copy=False)

    def lr(self, value: float) -> Any:  # noqa: ANN401
        """Return *value*, a learning rate, converted to `dtype`."""
        # Not `rounded`: TF computes in the type of lr, to which it casts the other parameters.
        return self.dtype(value)

    def __call__(self, value: float) -> Any:  # noqa: ANN401
        """Return *value*, a parameter other than lr, converted to `dtype` as in the framework."""
        # tf.cast turns a Python number into a float32 tensor first, and then into a float64 one.
        return self.dtype(np.float32(value) if self.rounded else value)

    def difference(self, a: float, b: float) -> Any:  # noqa: ANN401
        """Return the learning rate *a* minus the learning rate *b*."""
        return self.dtype(a - b) if self.folds else self.lr(a) - self(b)

    def share(self, t: Array, n: Any, *factors: Any) -> Array:  # noqa: ANN401
        """Return *t* / *n*, multiplied by the constants *factors* from the last to the first."""
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
        """Return *base* ** *exponent*; an underflow or overflow causes no warning."""
        with np.errstate(over="ignore", under="ignore"):
            if not self.single:
                return _power(base, exponent, DOUBLE_ZERO)
            # numpy's float32 power depends on the kind of CPU. This result does not, and differs
            # from powf of the C library, which XLA calls, for one number in a thousand.
            wide = _power(
                np.asarray(base, np.float64), np.asarray(exponent, np.float64), SINGLE_ZERO
            )
            return wide.astype(np.float32)

    def _once(self, function: Callable[[Array], Array], x: Array) -> Array:
        if not self.single:
            return function(x)
        with np.errstate(under="ignore"):
            return function(x.astype(np.float64)).astype(np.float32)


def _power(
    base: Any,  # noqa: ANN401
    exponent: Any,  # noqa: ANN401
    zero: float,
) -> Any:  # noqa: ANN401
    """Return *base* ** *exponent*, with 0 for each result below e ** *zero*."""
    # Underflows are not computed: they take 20 times as long.
    # The logarithm below needs one base above 0.
    if np.ndim(base) or not np.ndim(exponent) or not base > 0:
        return np.power(base, exponent)
    lost = exponent * np.log(base) < zero
    if not lost.any():
        return np.power(base, exponent)
    found = np.zeros_like(exponent)
    found[~lost] = np.power(base, exponent[~lost])
    return found


# Results up to half the smallest positive number are rounded to 0: 2 ** -1075 is e ** -745.1 in
# float64, and 2 ** -150 is e ** -103.97 in float32.
DOUBLE_ZERO, SINGLE_ZERO = -746.0, -104.0
"""The exponents below which e ** exponent is 0 in float64 and in float32."""

DOUBLE = Numbers()
"""Arithmetic in float64, as with Python's floats."""
