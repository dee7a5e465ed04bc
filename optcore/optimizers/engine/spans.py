"""The places of parameters in a flat buffer, and the ranges of it that engines update."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from optcore.optimizers.engine.carried import CarriedPart


@dataclass(frozen=True)
class Segment:
    """
    The place of a parameter in its buffer.

    In a `PerTensorState`, which has no buffer, *start* and *strides* have no meaning.

    Attributes:
        name: the name of the parameter.
        param: the parameter itself, a view of the buffer if there is one.
        start: the offset of the parameter's first element in the buffer, in elements.
        strides: the strides of the parameter, without gaps (channels_last is preserved).
    """

    name: str
    param: Tensor
    start: int
    strides: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The offset after the last element, in elements."""
        return self.start + self.param.numel()

    def view(self, buffer: Tensor) -> Tensor:
        """Return this segment of *buffer*, shaped like the parameter."""
        # as_strided counts from the start of the storage, and *buffer* may be only a part of that.
        offset = buffer.storage_offset() + self.start
        return buffer.as_strided(self.param.shape, self.strides, offset)


class Inside(NamedTuple):
    """The parameters in one range: the *sizes* of each, and the *lengths* with the gap after it."""

    sizes: list[int]
    lengths: list[int]


class Spans(NamedTuple):
    """
    Ranges of memory that one call of an engine updates. Each list has one tensor per range.

    The tensors are 1-D if a `FlatState` made the spans; a `PerTensorState` makes spans of one
    parameter, whose tensors keep their own shapes.

    Attributes:
        params: the parameters to update, or their float32 copies.
        grads: the gradients of these parameters.
        slots: one list for each slot of the rule.
        stored: the parameters themselves, if *params* are float32 copies; else None.
        segment: the parameter, if the ranges belong to a single one; else None.
        carried: numbers that the previous update computed for this update, if the rule has any.
        ahead: the number that is added to t for a row-sparse gradient (Paddle's Adam), else 0.
        inside: the parameters in each range; None if there is one range of one parameter.
    """

    params: list[Tensor]
    grads: list[Tensor]
    slots: list[list[Tensor]]
    stored: list[Tensor] | None = None
    segment: Segment | None = None
    carried: CarriedPart | None = None
    ahead: int = 0
    inside: list[Inside] | None = None
