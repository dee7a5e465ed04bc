"""A layer whose output is a trained point."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from optcore.spec.errors import RULE, short_repr
from optcore.spec.layers.base import VECTOR, LayerSpec, Parameter, ShapeError, TensorSpec, needs
from optcore.spec.tasks.tasks import MAX_DIMENSIONS, MAX_START


def _start(given: Any) -> Any:  # noqa: ANN401  as given
    # Before the union: pydantic would report what is wrong with each of its types.
    for number in given if isinstance(given, (list, tuple)) else [given]:
        if type(number) not in (int, float) or not isfinite(number) or abs(number) > MAX_START:
            raise PydanticCustomError(
                RULE,
                f"start must be a number from -{MAX_START:g} to {MAX_START:g}, or a list with "
                f"such a number for each dimension, got {short_repr(number)}",
            )
    return given


Coordinates = Annotated[list[float], Field(min_length=1, max_length=MAX_DIMENSIONS)]
Start = Annotated[float | Coordinates, BeforeValidator(_start)]
"""A number for all coordinates of a point, or one for each."""


class Point(LayerSpec):
    """
    A point x that is trained: the output is x, whatever the input is.

    It is for datasets whose task is minimization, and only as the first layer of a network. The
    input says how many coordinates there are.
    """

    kind: Literal["point"]
    start: Start = 0.0
    """The coordinates before the first step: a number for all, or a list of one for each."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a vector; a *start* that is a list must have a number per feature."""
        needs(self, given, VECTOR)
        if isinstance(self.start, list) and len(self.start) != given.size:
            raise ShapeError(
                f"start must have a number for each of the {given.size} dimensions, got "
                f"{len(self.start)} numbers"
            )
        return given

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return x (features,)."""
        return [Parameter("x", given.shape)]
