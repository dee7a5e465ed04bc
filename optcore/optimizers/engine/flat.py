"""
Flat buffers: the parameters of one group, one dtype and one device, in one piece of memory.

The parameters of the model become views of the buffer, and each slot is a buffer of the same
layout, so that one kernel call updates a whole model. Gradients stay where autograd puts them:
small ones are gathered into a buffer before the update, large ones are read in place. (A persistent
buffer for gradients costs a zeroing and an accumulation per step: 1.4x on 11M parameters.)

Layout: large parameters first, then the small ones next to each other, each segment on a
128-byte boundary. Padding belongs to no parameter, and its values mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

ALIGNMENT_BYTES = 128
FLOAT32_BYTES = 4
MASTER = "master_weight"
"""Slot of the float32 copy of bfloat16 and float16 parameters."""
LARGE = 65_536
"""Elements from which a gradient is read in place: copying it costs more than another call. Below,
one call over gathered memory is faster: Adam over 6 tensors of 20k in all, 17.9 us against 25.3."""


@dataclass(frozen=True)
class Segment:
    """
    The place of a parameter in its buffer.

    Attributes:
        name: the parameter's.
        param: the parameter itself, a view of the buffer.
        start: offset of its first element.
        strides: of the parameter, without gaps (channels_last keeps its own).
    """

    name: str
    param: Tensor
    start: int
    strides: tuple[int, ...]

    @property
    def stop(self) -> int:
        """Offset behind the last element."""
        return self.start + self.param.numel()

    def view(self, buffer: Tensor) -> Tensor:
        """Return this segment of *buffer*, shaped like the parameter."""
        # as_strided counts from the start of the storage, of which *buffer* may be a part.
        offset = buffer.storage_offset() + self.start
        return buffer.as_strided(self.param.shape, self.strides, offset)


class Spans(NamedTuple):
    """
    Ranges of memory that one call updates: lists of equal length, one item per range.

    Attributes:
        params: 1-D each, of the parameter buffer.
        grads: 1-D each, same length and dtype.
        slots: one list per slot, 1-D each, of the buffer of the slot.
        stored: ranges of the parameter buffer, where *params* are those of its float32 copy.
        segment: the parameter, where there is only one.
        carried: numbers that the previous update left, name -> one for each parameter.
    """

    params: list[Tensor]
    grads: list[Tensor]
    slots: list[list[Tensor]]
    stored: list[Tensor] | None = None
    segment: Segment | None = None
    carried: Mapping[str, Tensor] = {}


class FlatState:
    """
    Parameters in one buffer, with their slots and counters.

    Attributes:
        segments: the parameters, in buffer order.
        params: the buffer of the parameters.
        slots: name -> buffer.
        t: for each segment, the number of updates applied to it.
    """

    def __init__(
        self,
        named: Sequence[tuple[str, Tensor]],
        first_values: Mapping[str, float],
        *,
        takes_sparse: bool,
        whose: str = "this optimizer",
        carried: Sequence[str] = (),
        separately: bool = False,
        multi_precision: bool = False,
        sparse_ahead: int = 0,
    ) -> None:
        """
        Move the parameters, with their values, into a new buffer; slots get their first values.

        Args:
            named: name and parameter, all of one dtype and device.
            first_values: slot -> first value; `COPY` for the value of the parameter.
            takes_sparse: whether row-sparse gradients are made dense; else they are refused.
            whose: the optimizer, for the error that refuses them.
            carried: names of the numbers that an update of a parameter leaves to the next.
            separately: whether each parameter is updated by itself.
            multi_precision: whether parameters of less than float32 get a float32 copy, which
                is then what is updated, and float32 slots.
            sparse_ahead: how many updates ahead of t a row-sparse gradient is applied
                (Paddle's Adam).
        """
        self._takes_sparse, self._whose, self._separately = takes_sparse, whose, separately
        self._sparse_ahead = sparse_ahead
        dtype, device = named[0][1].dtype, named[0][1].device
        self.segments = _lay_out(named, ALIGNMENT_BYTES // dtype.itemsize)
        self.t = [0] * len(self.segments)
        size = self.segments[-1].stop
        self.params = torch.zeros(size, dtype=dtype, device=device)
        wide = torch.float32 if multi_precision and dtype.itemsize < FLOAT32_BYTES else dtype
        self.slots = {
            slot: torch.full((size,), value, dtype=wide, device=device)
            for slot, value in first_values.items()
        }
        # float32, as torch keeps asgd's eta; on the CPU, where reading one waits for no GPU.
        self._carried = {name: torch.zeros(len(self.segments)) for name in carried}
        # Before the float32 copy joins the slots: it is saved as one, but no rule gets it.
        self._work, self._rule_slots = self.params, tuple(self.slots.values())
        if wide != dtype:
            self._work = self.slots[MASTER] = torch.zeros(size, dtype=wide, device=device)
        self._tensors = [segment.param for segment in self.segments]
        # `_lay_out` puts the large ones first, so their number tells where the small ones begin.
        self._num_large = sum(param.numel() >= LARGE for param in self._tensors)
        small = self.segments[self._num_large :]
        self._small_start = small[0].start if small else size
        # In the dtype of the update: to gather gradients of less converts them in the same pass.
        self._small_grads = torch.zeros(size - self._small_start, dtype=wide, device=device)
        self._small_views = [
            replace(segment, start=segment.start - self._small_start).view(self._small_grads)
            for segment in small
        ]
        stretches = [(segment.start, segment.stop) for segment in self.segments]
        # Made once: to slice at each step would take a good part of a small network's time.
        self._single = [self._stretch(start, stop) for start, stop in stretches]
        if small:
            # With the gaps between them: an elementwise rule carries nothing from a gap to a
            # parameter, and what takes a norm or a mean is updated `separately`.
            stretches[self._num_large :] = [(self._small_start, size)]
        self._all = _columns([self._stretch(start, stop) for start, stop in stretches])
        self.adopt()
        # After `adopt`: only now does the buffer hold the values of the parameters.
        for slot, value in first_values.items():
            if math.isnan(value):  # COPY
                self.slots[slot].copy_(self._work)

    @property
    def has_master(self) -> bool:
        """Whether there is a float32 copy of the parameters."""
        return self._work is not self.params

    def slot_views(self, i: int) -> dict[str, Tensor]:
        """Return the slots of segment *i* by name, shaped like the parameter."""
        views = {slot: self.segments[i].view(buffer) for slot, buffer in self.slots.items()}
        return views | {name: values[i] for name, values in self._carried.items()}

    def adopt(self) -> None:
        """Make the parameters, with the values they have now, views of the buffer."""
        with torch.no_grad():
            for segment in self.segments:
                view = segment.view(self.params)
                # Where they lie there already, the values are in place.
                if view.data_ptr() != segment.param.data_ptr():
                    view.copy_(segment.param)
                # Through .data the parameter stays the object that modules and hooks hold.
                segment.param.data = view
            # What moved a parameter may have changed it, so the copy is made from it again. Digits
            # that only the copy had are lost.
            if self.has_master:
                self._work.copy_(self.params)
        self._addresses = [param.data_ptr() for param in self._tensors]

    def release(self) -> None:
        """Give the parameters memory of their own again; `is_elsewhere` is true from then on."""
        for segment in self.segments:
            segment.param.data = segment.param.detach().clone(memory_format=torch.preserve_format)

    def is_elsewhere(self) -> bool:
        """Return whether any parameter's memory is no longer the buffer's."""
        # torch has no hook for it, but whatever moves a parameter (`model.to`, an assignment to
        # `param.data`) changes its address.
        # For 60 parameters this takes 3 us. A change of values in place is not noticed; where there
        # is a float32 copy, the next update overwrites it.
        return [param.data_ptr() for param in self._tensors] != self._addresses

    def fits(self) -> bool:
        """Return whether every parameter still has the buffer's dtype, device and layout."""
        return all(
            segment.param.dtype == self.params.dtype
            and segment.param.device == self.params.device
            and _dense_strides(segment.param) == segment.strides
            for segment in self.segments
        )

    def updates(self) -> list[tuple[int, Spans]]:
        """
        Count one more update of each parameter with a gradient; return (t, memory) of each.

        Parameters without a gradient keep their slots and counters, as in torch.
        """
        # Numbers such as bias corrections depend on t, so one call updates only parameters that
        # have the same t; in nearly every run those are all of them.
        grads = [param.grad for param in self._tensors]
        present = [grad for grad in grads if grad is not None]
        if any(grad.is_sparse for grad in present):
            sparse = [grad.is_sparse for grad in present]
            self._make_dense()
            return self._updates_ahead(sparse) if self._sparse_ahead else self.updates()
        if (
            self._separately
            or len(present) < len(grads)
            or len(set(self.t)) > 1
            or any(values.ne(values[0]).any() for values in self._carried.values())
        ):
            return self._uneven_updates(grads)
        self.t = [self.t[0] + 1] * len(grads)
        stretches = [self._in_memory_order(i, present[i]) for i in range(self._num_large)]
        if self._small_views:
            torch._foreach_copy_(self._small_views, present[self._num_large :])
            stretches.append(self._small_grads)
        params, slots, stored = self._of(self._all)
        return [(self.t[0], Spans(params, stretches, slots, stored, None, self._carried))]

    def _updates_ahead(self, sparse: Sequence[bool]) -> list[tuple[int, Spans]]:
        """Do the same parameter by parameter; *sparse* tells which gradients were row-sparse."""
        # Paddle's kernel for row-sparse gradients corrects by beta ** (t + 1), so that its first
        # step is 0.744 lr with the default betas; dense gradients beside it go to another kernel.
        found = self._uneven_updates([param.grad for param in self._tensors])
        return [
            (t + self._sparse_ahead if ahead else t, spans)
            for ahead, (t, spans) in zip(sparse, found, strict=True)
        ]

    def _uneven_updates(self, grads: Sequence[Tensor | None]) -> list[tuple[int, Spans]]:
        """Do the same parameter by parameter: they have no gradient, or different counts."""
        found = []
        for i, grad in enumerate(grads):
            if grad is None:
                continue
            segment, offset = self.segments[i], self._small_start
            if i < self._num_large:
                stretch = self._in_memory_order(i, grad)
            else:
                self._small_views[i - self._num_large].copy_(grad)
                stretch = self._small_grads[segment.start - offset : segment.stop - offset]
            self.t[i] += 1
            params, slots, stored = self._of([[part] for part in self._single[i]])
            carried = {name: values[i : i + 1] for name, values in self._carried.items()}
            found.append((self.t[i], Spans(params, [stretch], slots, stored, segment, carried)))
        return found

    def _of(
        self, columns: list[list[Tensor]]
    ) -> tuple[list[Tensor], list[list[Tensor]], list[Tensor] | None]:
        """Return params, slots and stored from *columns* of what `_stretch` returns."""
        if not self.has_master:
            return columns[0], columns[1:], None
        return columns[0], columns[1:-1], columns[-1]

    def _make_dense(self) -> None:
        for segment in self.segments:
            grad = segment.param.grad
            if grad is None or not grad.is_sparse:
                continue
            if not self._takes_sparse:
                raise refused_sparse(segment.name, self._whose)
            # This adds up the rows that an Embedding looked up more than once.
            segment.param.grad = grad.to_dense()

    def _stretch(self, start: int, stop: int) -> list[Tensor]:
        """Return a range of every buffer: what is updated, each slot, then what is stored."""
        stored = [self.params] if self.has_master else []
        return [buffer[start:stop] for buffer in (self._work, *self._rule_slots, *stored)]

    def _in_memory_order(self, i: int, grad: Tensor) -> Tensor:
        """Return *grad*, of parameter *i*, as a 1-D tensor in the memory order of the parameter."""
        strides = self.segments[i].strides
        # autograd gives a gradient the strides of its parameter; one set by hand may have others.
        if grad.dtype != self.params.dtype or grad.stride() != strides:
            copy = torch.empty_strided(
                grad.shape, strides, dtype=self.params.dtype, device=self.params.device
            )
            grad = copy.copy_(grad)
        # Not view(-1), which counts in the order of the indices; channels_last is dense in another.
        return grad.as_strided((grad.numel(),), (1,))


def _columns(rows: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _lay_out(named: Sequence[tuple[str, Tensor]], alignment: int) -> list[Segment]:
    # Stable: equal models get equal layouts, and with them equal bits.
    large_first = sorted(named, key=lambda pair: pair[1].numel() < LARGE)
    segments, start = [], 0
    for name, param in large_first:
        segments.append(Segment(name, param, start, _dense_strides(param)))
        start += -(-param.numel() // alignment) * alignment
    return segments


def _dense_strides(param: Tensor) -> tuple[int, ...]:
    """Return the strides of *param* without gaps: its own if dense, else the contiguous ones."""
    return torch.empty_like(param, device="meta", memory_format=torch.preserve_format).stride()


def refused_sparse(name: str, whose: str) -> ValueError:
    """Return the error for a row-sparse gradient of the parameter *name*, which *whose* refuses."""
    return ValueError(
        f"the gradient of {name} is sparse, which {whose} cannot take; "
        "make it dense (sparse=False in the layer) or use lazy_adam"
    )
