"""
The positions of parameters in a flat buffer, and the ranges of the buffer that engines update.

torch computes most elements of a tensor in vectors, and the last elements of each thread's share
one by one. Some operations (pow, a sum with a factor in 16 bits, torch's fused Adam) give other
last bits in the second case. The result for an element should not depend on its position. So
parameters start, and ranges end, on 128-byte boundaries. 128 bytes are two vectors of AVX-512, the
most that torch computes at once.

Runs that began under an older version keep their ranges, which end with the last element of a
parameter (`FlatOptimizer.aligned` is false).
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
    A parameter, and its position in its flat buffer.

    In a `PerTensorState`, which has no buffer, *start* and *strides* have no meaning.

    Attributes:
        name: the name of the parameter.
        param: the parameter itself, a view of the buffer if there is one.
        start: the offset of the parameter's first element in the buffer, in elements.
        strides: the strides of the parameter in the buffer, where its elements have no gaps. A
            parameter in channels_last stays in channels_last.
    """

    name: str
    param: Tensor
    start: int
    strides: tuple[int, ...]

    @property
    def stop(self) -> int:
        """The offset in the buffer after the parameter's last element, in elements."""
        return self.start + self.param.numel()

    @property
    def is_large(self) -> bool:
        """Whether the parameter has so many elements that its gradient is read in place."""
        return self.param.numel() >= LARGE

    def view(self, buffer: Tensor) -> Tensor:
        """Return this segment of *buffer*, shaped like the parameter."""
        # as_strided counts from the start of the storage, and *buffer* may be only a part of that.
        offset = buffer.storage_offset() + self.start
        return buffer.as_strided(self.param.shape, self.strides, offset)

    def stretches(self, alignment: int) -> list[tuple[int, int]]:
        """
        Return the (start, stop) of each range of the buffer in which the parameter is updated.

        A range ends on a multiple of *alignment* elements, so it may end in the padding after the
        parameter. A large gradient is read in place, and has no padding. So if a large parameter
        does not end on a multiple, its last elements are a second range.
        """
        rest = self.param.numel() % alignment if self.is_large else self.param.numel()
        whole = self.stop - rest
        found = [(self.start, whole)] if whole > self.start else []
        if rest or not found:
            found.append((whole, whole + rounded_up(rest, alignment)))
        return found


class Inside(NamedTuple):
    """
    The sizes of the parameters in one range of memory.

    Attributes:
        sizes: the number of elements of each parameter.
        lengths: for each parameter, its number of elements plus the gap before the next parameter.
    """

    sizes: list[int]
    lengths: list[int]

    @classmethod
    def of(cls, segments: Sequence[Segment]) -> Inside:
        """Return the sizes in a range that holds *segments* and ends with their last element."""
        edges = [*(segment.start for segment in segments), segments[-1].stop]
        lengths = [after - before for before, after in pairwise(edges)]
        return cls([segment.param.numel() for segment in segments], lengths)


class Spans(NamedTuple):
    """
    Ranges of memory that one call of an engine updates.

    From a `FlatState`, each range is 1-D and holds one or more parameters, or a part of one. From a
    `PerTensorState`, each range is one parameter in its own shape. There is one such range, or
    several if the engine takes small parameters together.

    Attributes:
        params: for each range, the elements of the parameters, or of their float32 copies.
        grads: for each range, the gradients of these elements.
        slots: for each slot of the rule, a list with one tensor for each range.
        stored: for each range, the elements of the parameters themselves, if *params* holds
            float32 copies; else None.
        segment: the parameter, if all ranges belong to one parameter; else None.
        carried: the numbers that the previous update computed for this update, if the rule has any.
        ahead: the number that was added to t for a row-sparse gradient (Paddle's Adam); else 0.
        aligned: whether slices of a range, and each thread's share of a slice, should end on
            128-byte boundaries.
        inside: for each range, the sizes of its parameters. None if all ranges belong to one
            parameter, if a range may hold a part of a parameter or padding at its end, or if each
            range is a parameter in its own shape.
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
    """Return a segment for each (name, parameter) pair, large parameters first, without overlap."""
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
