"""
The places of parameters in a flat buffer, and the ranges of it that engines update.

torch computes most elements of a tensor as vectors of a processor, and the last ones of each
thread's share singly. Some operations (pow, a sum with a factor in 16 bits, torch's fused Adam)
give an element other last bits there. So segments start and spans end on 128 bytes, which is two
vectors of AVX-512, torch's widest step: the bits of an element do not depend on its place.

In runs that began before (`FlatOptimizer.aligned` is false), spans end with the last element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from optcore.optimizers.engine.memory.carried import CarriedPart

ALIGNMENT_BYTES = 128
LARGE = 65_536
"""Number of elements from which a gradient is read in place, by a separate kernel call: copying
the gradient would cost more than the call. Smaller gradients are gathered for a single call, which
is faster: Adam over 6 tensors with 20k elements in all takes 17.9 us instead of 25.3."""


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

    @property
    def is_large(self) -> bool:
        """Whether the gradient is read in place."""
        return self.param.numel() >= LARGE

    def view(self, buffer: Tensor) -> Tensor:
        """Return this segment of *buffer*, shaped like the parameter."""
        # as_strided counts from the start of the storage, and *buffer* may be only a part of that.
        offset = buffer.storage_offset() + self.start
        return buffer.as_strided(self.param.shape, self.strides, offset)

    def stretches(self, alignment: int) -> list[tuple[int, int]]:
        """
        Return the (start, stop) of each range of the buffer in which the parameter is updated.

        A range ends on a multiple of *alignment* elements. It may end in padding, unless it is read
        with a gradient in place, which has no padding. So the last elements of a large parameter
        may be a range of their own, whose gradient is gathered.
        """
        rest = self.param.numel() % alignment if self.is_large else self.param.numel()
        whole = self.stop - rest
        found = [(self.start, whole)] if whole > self.start else []
        if rest or not found:
            found.append((whole, whole + rounded_up(rest, alignment)))
        return found


class Inside(NamedTuple):
    """The parameters in one range: the *sizes* of each, and the *lengths* with the gap after it."""

    sizes: list[int]
    lengths: list[int]

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> Inside:
        """Return what is in the range of *segments*, which ends with the last element."""
        edges = [*(segment.start for segment in segments), segments[-1].stop]
        lengths = [after - before for before, after in pairwise(edges)]
        return cls([segment.param.numel() for segment in segments], lengths)


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
        aligned: whether slices of the ranges, and each thread's share of a slice, end on 128 bytes.
        inside: the parameters in each range, if the ranges hold whole parameters and end with the
            last element; None if there is one range of one parameter, or if a range may hold a part
            of a parameter or padding at its end (`FlatState`, *elementwise*).
    """

    params: list[Tensor]
    grads: list[Tensor]
    slots: list[list[Tensor]]
    stored: list[Tensor] | None = None
    segment: Segment | None = None
    carried: CarriedPart | None = None
    ahead: int = 0
    aligned: bool = True
    inside: list[Inside] | None = None


def lay_out(named: Sequence[tuple[str, Tensor]], alignment: int) -> list[Segment]:
    """Return a segment for each (name, parameter) pair, large ones first, without overlap."""
    # sorted is stable: equal models get equal layouts, and so results that are equal bit for bit.
    large_first = sorted(named, key=lambda pair: pair[1].numel() < LARGE)
    segments, start = [], 0
    for name, param in large_first:
        segments.append(Segment(name, param, start, dense_strides(param)))
        start += rounded_up(param.numel(), alignment)
    return segments


def rounded_up(size: int, alignment: int) -> int:
    """Return the smallest multiple of *alignment* that is at least *size*."""
    return -(-size // alignment) * alignment


def dense_strides(param: Tensor) -> tuple[int, ...]:
    """Return the strides of *param*, or of a contiguous copy if the memory of *param* has gaps."""
    return torch.empty_like(param, device="meta", memory_format=torch.preserve_format).stride()
