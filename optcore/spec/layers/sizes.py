"""Sizes along the axes of an image or signal: one number for all axes, or one for each."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from optcore.spec.errors import RULE, short_repr

MAX_SIDE = 64
"""Largest kernel, stride, padding or dilation, in pixels."""


WAYS = {
    "same": "; kernel_size // 2 keeps the size, with stride 1 and an odd kernel_size",
    "valid": "; 0 adds no pixels",
}
"""What to write for words that padding takes in other libraries."""


class _Sizes:
    """Check a field that is one number, or a list with a number for each axis."""

    def __init__(self, least: int) -> None:
        self._least = least

    def __call__(self, given: Any, info: ValidationInfo) -> Any:  # noqa: ANN401  as given
        name = info.field_name
        for number in given if isinstance(given, (list, tuple)) and given else [given]:
            if type(number) is not int:
                text = f"{name} must be a whole number, or a list of one per axis, got "
                way = WAYS.get(given, "") if isinstance(given, str) else ""
                raise PydanticCustomError(RULE, text + short_repr(given) + way)
            if not self._least <= number <= MAX_SIDE:
                bound = f"at least {self._least}" if number < self._least else f"at most {MAX_SIDE}"
                raise PydanticCustomError(RULE, f"{name} must be {bound}, got {short_repr(number)}")
        return given


Positive = Annotated[int | list[int], BeforeValidator(_Sizes(1))]
"""A number of pixels from 1 to 64 for all axes, or a list of one per axis."""
NotNegative = Annotated[int | list[int], BeforeValidator(_Sizes(0))]
"""A number of pixels from 0 to 64 for all axes, or a list of one per axis."""


def each(size: int | list[int], dims: int) -> tuple[int, ...]:
    """Return the size along each of *dims* axes."""
    return (size,) * dims if isinstance(size, int) else tuple(size)
