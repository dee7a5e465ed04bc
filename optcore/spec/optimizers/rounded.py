"""Numbers that a dialect rounds to float32."""

from __future__ import annotations

import math
from ctypes import c_float
from typing import TYPE_CHECKING

from annotated_types import Gt, Lt

from optcore.spec.errors import reject

if TYPE_CHECKING:
    from optcore.spec.optimizers.base import OptimizerSpec


def float32(number: float) -> float:
    """Return *number* rounded to float32; infinity if it is too large for float32."""
    # Each hyperparameter is rounded whenever a spec is parsed, in the dialects that round. ctypes
    # takes a tenth of the time of numpy, which also warns when the result is infinite.
    return c_float(number).value


def check_rounded(spec: OptimizerSpec, name: str) -> None:
    """
    Raise an error if the value of field *name* is out of its range once rounded to float32.

    An example is 0.99999999 for a beta, which must be below 1: as a float32 it is 1.
    """
    value = getattr(spec, name)
    single = float32(value)
    # Only open limits: rounding to nearest is monotonic, so it does not cross a limit such as 0
    # or 1 that is a float32 itself.
    for limit in type(spec).model_fields[name].metadata:
        # The type of a limit is anything that can be compared; here all limits are numbers.
        too_high = isinstance(limit, Lt) and not single < limit.lt  # type: ignore[operator]
        too_low = isinstance(limit, Gt) and not single > limit.gt  # type: ignore[operator]
        if too_high or too_low or not math.isfinite(single):
            reject(
                [name],
                f"{name} must stay in its range when {spec.dialect} rounds it to float32, "
                f"got {value}, which becomes {single}",
                value,
            )
