"""The gradients of parameters in a flat buffer: small ones are copied, large ones read in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from optcore.optimizers.engine.memory.segments import Segment, rounded_up


class Gradients:
    """
    Gradients as ranges of memory, which match the ranges of their parameters in a flat buffer.

    A large gradient is read in place. If its last elements are a range of their own
    (`Segment.stretches`), these elements are copied into a buffer. Small gradients are copied into
    the same buffer, in the layout of their parameters. Padding in this buffer is always 0.
    """

    def __init__(
        self, segments: Sequence[Segment], params: Tensor, dtype: torch.dtype, *, alignment: int
    ) -> None:
        """
        Allocate the buffer for small gradients, and for the last elements of large ones.

        Args:
            segments: the parameters, large ones first.
            params: the buffer that holds the parameters.
            dtype: the dtype of this buffer; gradients are converted to it as they are copied.
            alignment: a number of elements. Every range ends on a multiple of it.
        """
        self._segments, self._dtype, self._device = segments, params.dtype, params.device
        large = [segment for segment in segments if segment.is_large]
        small = segments[len(large) :]
        self._num_large = len(large)
        # Tails come first, each as long as *alignment*, then the small gradients.
        self._rests = [segment.param.numel() % alignment for segment in large]
        num_tails = sum(rest > 0 for rest in self._rests)
        stop = rounded_up(segments[-1].stop, alignment)
        start = small[0].start if small else stop
        moved = num_tails * alignment - start
        buffer = torch.zeros(stop + moved, dtype=dtype, device=params.device)
        self._small = buffer[start + moved :]
        tails = iter(buffer[: num_tails * alignment].split(alignment))
        self._tails = [next(tails) if rest else None for rest in self._rests]
        self._views = [
            tail[:rest]
            for tail, rest in zip(self._tails, self._rests, strict=True)
            if tail is not None
        ]
        self._views += [replace(one, start=one.start + moved).view(buffer) for one in small]
        self._stretches = [
            buffer[begin + moved : end + moved]
            for segment in small
            for begin, end in segment.stretches(alignment)
        ]

    def of_all(self, grads: Sequence[Tensor]) -> list[Tensor]:
        """Return *grads*, all gradients, as ranges of memory; the small ones form one range."""
        found: list[Tensor] = []
        rests: list[Tensor] = []
        for i in range(self._num_large):
            flat, tail = self._in_memory_order(i, grads[i]), self._tails[i]
            if tail is None:
                found.append(flat)
            else:
                whole = flat.numel() - self._rests[i]
                found += [flat[:whole], tail]
                rests.append(flat[whole:])
        if self._views:
            torch._foreach_copy_(self._views, [*rests, *grads[self._num_large :]])
        return [*found, self._small] if self._stretches else found

    def of(self, i: int, grad: Tensor) -> list[Tensor]:
        """Return *grad*, the gradient of parameter *i*, as ranges of memory."""
        if i >= self._num_large:
            self._views[i - len(self._segments)].copy_(grad)
            return [self._stretches[i - self._num_large]]
        flat, tail = self._in_memory_order(i, grad), self._tails[i]
        if tail is None:
            return [flat]
        whole = flat.numel() - self._rests[i]
        tail[: self._rests[i]].copy_(flat[whole:])
        return [flat[:whole], tail]

    def _in_memory_order(self, i: int, grad: Tensor) -> Tensor:
        """Return *grad*, the gradient of parameter *i*, as 1-D in the parameter's memory order."""
        strides = self._segments[i].strides
        # autograd gives a gradient the strides of the parameter; a gradient set by hand may have
        # other strides.
        if grad.dtype != self._dtype or grad.stride() != strides:
            copy = torch.empty_strided(grad.shape, strides, dtype=self._dtype, device=self._device)
            grad = copy.copy_(grad)
        # Not view(-1), which follows the order of the indices: channels_last has another order.
        return grad.as_strided((grad.numel(),), (1,))
