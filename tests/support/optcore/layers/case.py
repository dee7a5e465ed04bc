"""What a case of a layer is, and the table of all cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, VECTOR, Axis, TensorSpec

Json = dict[str, Any]
Draw = st.DrawFn


@dataclass(frozen=True)
class Case:
    """
    A layer, what it takes, and a module that computes the same.

    Attributes:
        spec: the layer as JSON.
        given: what it takes.
        module: returns a module of torch.nn, or one that is written out, with parameters of the
            same names in the same order.
        vocabulary: number of tokens, if the layer takes tokens.
    """

    spec: Json
    given: TensorSpec
    module: Callable[[], nn.Module]
    vocabulary: int = 0


CASES: dict[str, st.SearchStrategy[Case]] = {}
"""Maps each kind of layer to its random cases."""


def case(*kinds: str) -> Callable[[Callable[[Draw, str], Case]], Callable[[Draw, str], Case]]:
    """Enter a function from (draw, kind) to a `Case` into the table, for each of *kinds*."""

    def enter(function: Callable[[Draw, str], Case]) -> Callable[[Draw, str], Case]:
        for kind in kinds:
            assert kind not in CASES, kind
            CASES[kind] = st.composite(function)(kind)
        return function

    return enter


class Formula(nn.Module):
    """A function of a tensor, as a module without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, given: Tensor) -> Tensor:
        return self.function(given)


def of(axes: tuple[Axis, ...], *shape: int) -> TensorSpec:
    return TensorSpec(shape, axes)


def shaped(draw: Draw, *axes: tuple[Axis, ...], least: int = 1, most: int = 7) -> TensorSpec:
    """Draw an input with one of *axes*."""
    chosen = draw(st.sampled_from(axes))
    return of(chosen, *(draw(st.integers(least, most)) for _ in chosen))


def anything(draw: Draw) -> TensorSpec:
    return shaped(draw, VECTOR, SEQUENCE, SIGNAL, IMAGE)


def per_axis(draw: Draw, dims: int, least: int, most: int) -> int | list[int]:
    """Draw a size: one number for all axes, or a list of one for each."""
    number = st.integers(least, most)
    return draw(number | st.lists(number, min_size=dims, max_size=dims))


def each(size: int | list[int], dims: int) -> tuple[int, ...]:
    return (size,) * dims if isinstance(size, int) else tuple(size)


def alone(size: tuple[int, ...]) -> Any:
    """Return *size* as torch's modules over signals take it."""
    return size[0] if len(size) == 1 else size


def float32(number: float) -> float:
    return float(np.float32(number))


def dims_of(kind: str) -> int:
    """Return the number of axes besides the channels that a kind such as conv2d has."""
    return int(kind[-2])
