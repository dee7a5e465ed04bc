"""
The slots and update counts of parameters that keep their own memory.

Other parameters become views of a flat buffer. Parameters keep their own memory if the rule needs
their shape or their rows, and in dialect bitsandbytes, which may store slots as codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Size, Tensor

from optcore.optimizers.engine.memory.carried import CarriedNumbers
from optcore.optimizers.engine.memory.flat import FLOAT32_BYTES, MASTER, refused_sparse
from optcore.optimizers.engine.memory.segments import Segment, Spans
from optcore.optimizers.engine.quantized import Storage

TOGETHER = 131_072
"""Largest number of elements of small parameters that are updated in one call of an engine."""


class PerTensorState:
    """
    Parameters in their own memory, with slots and counts: like `FlatState`, but without buffers.

    Attributes:
        segments: the parameters.
        t: for each parameter, the number of updates applied to it.
        carried: the numbers that each update of a parameter computes for the next, if any.
    """

    def __init__(
        self,
        named: Sequence[tuple[str, Tensor]],
        first_values: Mapping[str, float],
        *,
        shapes: Callable[[Size], dict[str, tuple[int, ...]]] | None,
        takes_sparse: bool,
        whose: str = "this optimizer",
        carried: CarriedNumbers | None = None,
        multi_precision: bool = False,
        sparse_ahead: int = 0,
        storage: Storage | None = None,
        together: bool = False,
    ) -> None:
        """
        Make the slots of the parameters, which keep their own memory.

        Args:
            named: (name, parameter) pairs.
            first_values: slot name -> first value; `COPY` for the value of the parameter.
            shapes: a function from the shape of a parameter to slot name -> shape of the slot;
                None if every slot has the shape of the parameter.
            takes_sparse: whether `updates` accepts row-sparse gradients; if false, `updates` raises
                ValueError for a row-sparse gradient.
            whose: a description of the optimizer, for the message of this error.
            carried: the numbers that each update of a parameter computes for the next, if any.
            multi_precision: whether parameters narrower than float32 get float32 slots and a
                float32 copy. Updates then change the copy, which is rounded to the parameters.
            sparse_ahead: the number added to t in an update with a row-sparse gradient
                (Paddle's Adam).
            storage: how dialect bitsandbytes stores the slots; None in other dialects.
            together: whether the engine takes small parameters together (`Rule.together`).
        """
        # Without a buffer, start and strides have no meaning, and nothing reads them.
        self.segments = [Segment(name, param, 0, param.stride()) for name, param in named]
        self.t = [0] * len(self.segments)
        self.carried = carried
        self._aligned = True
        self._takes_sparse, self._whose, self._sparse_ahead = takes_sparse, whose, sparse_ahead
        self._slots = [
            _slots_of(param, first_values, shapes, multi_precision, storage) for _, param in named
        ]
        self._dtypes = [param.dtype for _, param in named]
        self._devices = [param.device for _, param in named]
        self._groups = list(self._grouped()) if together and carried is None else []
        grouped = {i for group in self._groups for i in group}
        self._alone = [i for i in range(len(named)) if i not in grouped]

    def slot_views(self, i: int) -> dict[str, Tensor]:
        """Return the slots of parameter *i* by name, and its carried numbers."""
        return self._slots[i] | ({} if self.carried is None else self.carried.views(i))

    def align(self, aligned: bool) -> None:
        """Choose whether slices, and each thread's share of a slice, end on 128-byte boundaries."""
        self._aligned = aligned

    def adopt(self) -> None:
        """Do nothing: the parameters keep their own memory."""

    def release(self) -> None:
        """Do nothing: the parameters already have memory of their own."""

    def is_elsewhere(self) -> bool:
        """Return whether any parameter has changed dtype or device since its slots were made."""
        return not self.fits()

    def fits(self) -> bool:
        """Return whether every parameter has the dtype and device that its slots were made for."""
        now = [(segment.param.dtype, segment.param.device) for segment in self.segments]
        return now == list(zip(self._dtypes, self._devices, strict=True))

    def updates(self) -> list[tuple[int, Spans]]:
        """
        Count an update of each parameter that has a gradient; return the updates to apply.

        An update is a pair for one call of an engine: t, the number of the update, and the memory
        of one parameter, or of several small ones (`Spans`).

        Raises:
            ValueError: a gradient is row-sparse, and the optimizer cannot take it.
        """
        found = []
        for group in self._groups:
            found += self._of_group(group)
        for i in self._alone:
            found += self._of_one(i)
        return found

    def _of_group(self, group: list[int]) -> list[tuple[int, Spans]]:
        """
        Return one update for all parameters of *group*, or one for each of them with a gradient.

        One update suffices if all parameters have dense gradients and equal update counts.
        """
        grads = [self.segments[i].param.grad for i in group]
        t = self.t[group[0]]
        dense = [grad for grad in grads if grad is not None and not grad.is_sparse]
        if len(dense) < len(group) or {self.t[i] for i in group} != {t}:
            return [update for i in group for update in self._of_one(i)]
        for i in group:
            self.t[i] += 1
        params = [self.segments[i].param.data for i in group]
        columns = [self._slots[i].values() for i in group]
        slots = [list(column) for column in zip(*columns, strict=True)]
        return [(t + 1, Spans(params, dense, slots, aligned=self._aligned))]

    def _of_one(self, i: int) -> list[tuple[int, Spans]]:
        """Return the update for parameter *i*, if it has a gradient."""
        segment = self.segments[i]
        grad = segment.param.grad
        if grad is None:
            return []
        if grad.is_sparse and not self._takes_sparse:
            raise refused_sparse(segment.name, self._whose)
        self.t[i] += 1
        slots = dict(self._slots[i])
        master = slots.pop(MASTER, None)
        param = segment.param.data
        ahead = self._sparse_ahead if grad.is_sparse else 0
        spans = Spans(
            [param if master is None else master],
            [grad.detach()],
            [[slot] for slot in slots.values()],
            None if master is None else [param],
            segment,
            None if self.carried is None else self.carried.of(i, i + 1),
            ahead,
            self._aligned,
        )
        return [(self.t[i] + ahead, spans)]

    def _grouped(self) -> Iterator[list[int]]:
        """Yield groups of small parameters with the same slots and no float32 copy, as indices."""
        alike: dict[tuple[str, ...], list[int]] = {}
        for i, segment in enumerate(self.segments):
            # In 16 bits, some of torch's functions of lists have other last bits.
            wide = segment.param.dtype.itemsize >= FLOAT32_BYTES
            if wide and not segment.is_large and MASTER not in self._slots[i]:
                alike.setdefault(tuple(self._slots[i]), []).append(i)
        for group in alike.values():
            # A rule makes temporaries of all of its parameters, so there is a limit.
            part: list[int] = []
            size = 0
            for i in group:
                length = self.segments[i].param.numel()
                if part and size + length > TOGETHER:
                    yield part
                    size, part = 0, []
                size += length
                part.append(i)
            yield part


def _slots_of(
    param: Tensor,
    first_values: Mapping[str, float],
    shapes: Callable[[Size], dict[str, tuple[int, ...]]] | None,
    multi_precision: bool,
    storage: Storage | None,
) -> dict[str, Tensor]:
    low = multi_precision and param.dtype.itemsize < FLOAT32_BYTES
    if storage is not None:
        return storage.slots(param, first_values) | (_master(param) if low else {})
    dtype = torch.float32 if low else param.dtype
    wanted = (
        dict.fromkeys(first_values, tuple(param.shape)) if shapes is None else shapes(param.shape)
    )
    slots = {}
    for name, value in first_values.items():
        # Adafactor names the slots for vectors and for matrices; a parameter has only some of them.
        if name not in wanted:
            continue
        slots[name] = torch.full(wanted[name], value, dtype=dtype, device=param.device)
        if math.isnan(value):  # COPY
            slots[name].copy_(param.detach())
    return slots | (_master(param) if low else {})


def _master(param: Tensor) -> dict[str, Tensor]:
    return {MASTER: param.detach().to(torch.float32)}
