"""
Flat buffers: the parameters of one group, one dtype and one device, in one piece of memory.

The parameters of the model become views of the buffer, and each slot is a buffer of the same
layout. So one kernel call can update all of these parameters. Gradients stay where autograd puts
them. Before an update, small gradients are copied into one buffer; large ones are read in place.

In a buffer, large parameters come first, then small ones. Each starts on a 128-byte boundary. The
padding between them belongs to no parameter, and its values mean nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from optcore.optimizers.engine.memory.carried import CarriedNumbers
from optcore.optimizers.engine.memory.gradients import Gradients
from optcore.optimizers.engine.memory.segments import (
    ALIGNMENT_BYTES,
    Inside,
    Spans,
    dense_strides,
    lay_out,
    rounded_up,
)

FLOAT32_BYTES = 4
MASTER = "master_weight"
"""Name of the slot that holds the float32 copy of a bfloat16 or float16 parameter."""


class FlatState:
    """
    Parameters in one buffer, with their slots and update counts.

    Attributes:
        segments: the parameters and their places, in buffer order.
        params: the buffer that holds the parameters.
        slots: slot name -> the buffer that holds the slot of every parameter.
        t: for each parameter, the number of updates applied to it.
        carried: the numbers that each update of a parameter computes for the next, if any.
    """

    def __init__(
        self,
        named: Sequence[tuple[str, Tensor]],
        first_values: Mapping[str, float],
        *,
        takes_sparse: bool,
        whose: str = "this optimizer",
        carried: CarriedNumbers | None = None,
        separately: bool = False,
        elementwise: bool = True,
        multi_precision: bool = False,
        sparse_ahead: int = 0,
    ) -> None:
        """
        Move the parameters, with their values, into a new buffer, and initialize the slots.

        Args:
            named: (name, parameter) pairs. All parameters have one dtype and device.
            first_values: slot name -> first value; `COPY` for the value of the parameter.
            takes_sparse: whether `updates` makes row-sparse gradients dense; if false, `updates`
                raises ValueError for a row-sparse gradient.
            whose: a description of the optimizer, for the message of this error.
            carried: the numbers that each update of a parameter computes for the next, if any.
            separately: whether each parameter is updated by a separate call of the engine.
            elementwise: whether the engine updates each element by itself. If not, the engine gets
                ranges of whole parameters, without padding at the end.
            multi_precision: whether parameters narrower than float32 get float32 slots and a
                float32 copy. Updates then change the copy, which is rounded to the parameters.
            sparse_ahead: the number added to t in an update with a row-sparse gradient
                (Paddle's Adam).
        """
        self._takes_sparse, self._whose, self._separately = takes_sparse, whose, separately
        self._sparse_ahead = sparse_ahead
        # Norms and means are taken over parameters.
        self._may_pad = elementwise and not separately
        dtype, device = named[0][1].dtype, named[0][1].device
        alignment = ALIGNMENT_BYTES // dtype.itemsize
        self.segments = lay_out(named, alignment)
        self.t = [0] * len(self.segments)
        size = rounded_up(self.segments[-1].stop, alignment)
        self.params = torch.zeros(size, dtype=dtype, device=device)
        wide = torch.float32 if multi_precision and dtype.itemsize < FLOAT32_BYTES else dtype
        self.slots = {
            slot: torch.full((size,), value, dtype=wide, device=device)
            for slot, value in first_values.items()
        }
        self.carried = carried
        # Before the float32 copy joins the slots: the copy is saved as a slot, but no rule gets it.
        self._work, self._rule_slots = self.params, tuple(self.slots.values())
        if wide != dtype:
            self._work = self.slots[MASTER] = torch.zeros(size, dtype=wide, device=device)
        self._tensors = [segment.param for segment in self.segments]
        self.align(True)
        self.adopt()
        # After `adopt`, since before it the buffer does not hold the values of the parameters.
        for slot, value in first_values.items():
            if math.isnan(value):  # COPY
                self.slots[slot].copy_(self._work)

    def align(self, aligned: bool) -> None:
        """
        Choose whether the ranges that engines update end on 128-byte boundaries.

        If not *aligned*, or if updates need norms or means of parameters, every range ends with the
        last element of a parameter.
        """
        self._aligned = aligned
        padded = aligned and self._may_pad
        ends_on = ALIGNMENT_BYTES // self.params.itemsize if padded else 1
        dtype = self._work.dtype
        self._grads = Gradients(self.segments, self.params, dtype, alignment=ends_on)
        of_each = [segment.stretches(ends_on) for segment in self.segments]
        # Sliced once: slicing at each step would take a good part of a small network's step time.
        self._single = [
            _columns([self._stretch(start, stop) for start, stop in of_one]) for of_one in of_each
        ]
        large = [segment for segment in self.segments if segment.is_large]
        small = self.segments[len(large) :]
        stretches = [stretch for of_one in of_each[: len(large)] for stretch in of_one]
        parts = [[segment] for segment in large]
        if small:
            # All small parameters as one range, gaps included: an elementwise rule carries nothing
            # from a gap to a parameter, and an engine that takes norms leaves the gaps out.
            stretches.append((small[0].start, rounded_up(small[-1].stop, ends_on)))
            parts.append(small)
        self._inside = None if padded else [Inside.of(part) for part in parts]
        self._all = _columns([self._stretch(start, stop) for start, stop in stretches])

    @property
    def has_master(self) -> bool:
        """Whether there is a float32 copy of the parameters."""
        return self._work is not self.params

    def slot_views(self, i: int) -> dict[str, Tensor]:
        """Return two mappings for parameter *i*: views of its slots, and of its carried numbers."""
        views = {slot: self.segments[i].view(buffer) for slot, buffer in self.slots.items()}
        return views if self.carried is None else views | self.carried.views(i)

    def adopt(self) -> None:
        """
        Make every parameter a view of the buffer, after copying its values there if necessary.

        Float32 copies are made anew from the parameters.
        """
        with torch.no_grad():
            for segment in self.segments:
                view = segment.view(self.params)
                # A parameter that is already this view has its values in the buffer.
                if view.data_ptr() != segment.param.data_ptr():
                    view.copy_(segment.param)
                # Through .data the parameter stays the object that modules and hooks hold.
                segment.param.data = view
            # Whatever moved a parameter may have changed its values, so the float32 copy is made
            # again. Digits that only the old copy had are lost.
            if self.has_master:
                self._work.copy_(self.params)
        self._addresses = [param.data_ptr() for param in self._tensors]

    def release(self) -> None:
        """Give the parameters memory of their own, until `adopt` makes them views again."""
        for segment in self.segments:
            segment.param.data = segment.param.detach().clone(memory_format=torch.preserve_format)

    def is_elsewhere(self) -> bool:
        """Return whether any parameter is no longer a view of the buffer."""
        # torch has no hook for this, but whatever moves a parameter (`model.to`, an assignment to
        # `param.data`) changes its address.
        # For 60 parameters this takes 3 us. A change of values in place is not noticed; where there
        # is a float32 copy, the next update overwrites it.
        return [param.data_ptr() for param in self._tensors] != self._addresses

    def fits(self) -> bool:
        """Return whether every parameter still has the buffer's dtype, device and layout."""
        return all(
            segment.param.dtype == self.params.dtype
            and segment.param.device == self.params.device
            and dense_strides(segment.param) == segment.strides
            for segment in self.segments
        )

    def updates(self) -> list[tuple[int, Spans]]:
        """
        Count an update of each parameter that has a gradient; return the updates to apply.

        An update is a pair for one call of an engine: t, the number of the update, and the ranges
        of memory (`Spans`). Parameters without gradient keep their slots and counts, as in torch.

        Raises:
            ValueError: a gradient is row-sparse, and the optimizer cannot take it.
        """
        # Numbers such as bias corrections depend on t, so one call updates only parameters that
        # have the same t. In nearly every run, all parameters have the same t.
        grads = [param.grad for param in self._tensors]
        present = [grad for grad in grads if grad is not None]
        sparse = [grad.is_sparse for grad in present]
        if True in sparse:
            self._make_dense()
            return self._updates_ahead(sparse) if self._sparse_ahead else self.updates()
        if (
            self._separately
            or len(present) < len(grads)
            or len(set(self.t)) > 1
            or (self.carried is not None and not self.carried.are_even())
        ):
            return self._uneven_updates(grads)
        self.t = [self.t[0] + 1] * len(grads)
        params, slots, stored = self._of(self._all)
        carried = None if self.carried is None else self.carried.of(0, len(grads))
        flat = self._grads.of_all(present)
        spans = Spans(params, flat, slots, stored, None, carried, 0, self._aligned, self._inside)
        return [(self.t[0], spans)]

    def _updates_ahead(self, sparse: Sequence[bool]) -> list[tuple[int, Spans]]:
        """
        Count an update of each parameter that has a gradient; return a (t, spans) pair for each.

        For a row-sparse gradient, t is `_sparse_ahead` more than the count. *sparse* has an entry
        for each gradient, true if the gradient was row-sparse.
        """
        # Paddle's kernel for row-sparse gradients corrects by beta ** (t + 1), so that its first
        # step is 0.744 lr with the default betas; Paddle passes dense gradients to another kernel.
        found = self._uneven_updates([param.grad for param in self._tensors])
        by = [self._sparse_ahead if is_sparse else 0 for is_sparse in sparse]
        return [
            (t + ahead, spans._replace(ahead=ahead))
            for ahead, (t, spans) in zip(by, found, strict=True)
        ]

    def _uneven_updates(self, grads: Sequence[Tensor | None]) -> list[tuple[int, Spans]]:
        """Count an update of each parameter that has a gradient; return (t, spans) for each."""
        found = []
        for i, grad in enumerate(grads):
            if grad is None:
                continue
            self.t[i] += 1
            parts, segment = self._grads.of(i, grad), self.segments[i]
            params, slots, stored = self._of(self._single[i])
            carried = None if self.carried is None else self.carried.of(i, i + 1)
            spans = Spans(params, parts, slots, stored, segment, carried, aligned=self._aligned)
            found.append((self.t[i], spans))
        return found

    def _of(
        self, columns: list[list[Tensor]]
    ) -> tuple[list[Tensor], list[list[Tensor]], list[Tensor] | None]:
        """Divide *columns*, in the order of `_stretch`, into params, slots and stored (`Spans`)."""
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
        """
        Return the elements from *start* to *stop* of each buffer.

        The buffers are, in order, the parameters (or their float32 copy), the slots, and, if there
        is a float32 copy, the parameters themselves.
        """
        stored = [self.params] if self.has_master else []
        return [buffer[start:stop] for buffer in (self._work, *self._rule_slots, *stored)]


def _columns(rows: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    return [list(column) for column in zip(*rows, strict=True)]


def refused_sparse(name: str, whose: str) -> ValueError:
    """
    Return the error for a row-sparse gradient.

    Args:
        name: the name of the parameter.
        whose: a description of what needs a dense gradient, such as the optimizer.
    """
    return ValueError(
        f"the gradient of {name} is sparse, which {whose} cannot take; "
        "make it dense (sparse=False in the layer) or use lazy_adam"
    )
