"""The parts of `Spans` that an engine takes at once: one parameter, or small ones together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from optcore.optimizers.engine.memory.segments import Inside, Spans


class Part:
    """
    A part of one range of `Spans`. The part holds one or more whole parameters.

    Attributes:
        sizes: the number of elements of each parameter.
        lengths: the number of elements of each parameter, with the gap after it.
    """

    def __init__(self, span: int, start: int, inside: Inside, of: int) -> None:
        """
        Describe a part.

        Args:
            span: the index of the range.
            start: the offset of the part in the range, in elements.
            inside: the sizes of the parameters in the part.
            of: the number of elements of the whole range.
        """
        self.sizes, self.lengths = inside
        # After a single parameter comes no gap.
        size = sum(self.lengths) if len(self.sizes) > 1 else self.sizes[0]
        self._span, self._range = span, None if size == of else slice(start, start + size)
        # What is split is the same memory in every update, gradients of large parameters aside.
        self._split: dict[tuple[int, bool], tuple[Tensor, Sequence[Tensor]]] = {}

    def of(self, spans: Spans) -> Spans:
        """Return the elements of *spans* that belong to this part."""
        columns = [spans.params, spans.grads, *spans.slots]
        if spans.stored is not None:
            columns.append(spans.stored)
        found = [[column[self._span]] for column in columns]
        if self._range is not None:
            found = [[tensor[self._range]] for (tensor,) in found]
        stored = None if spans.stored is None else found.pop()
        inside = [Inside(self.sizes, self.lengths)]
        return Spans(found[0], found[1], found[2:], stored, aligned=spans.aligned, inside=inside)

    def split(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return the elements of *tensor* that belong to each parameter, with the gap after it."""
        return self._found(tensor, gaps=True, split=lambda: tensor.split_with_sizes(self.lengths))

    def views(self, tensor: Tensor) -> Sequence[Tensor]:
        """Return the elements of *tensor* that belong to each parameter, without the gap."""
        if len(self.sizes) == 1:
            return [tensor]
        return self._found(tensor, gaps=False, split=lambda: self._without_gaps(tensor))

    def _found(
        self, tensor: Tensor, *, gaps: bool, split: Callable[[], Sequence[Tensor]]
    ) -> Sequence[Tensor]:
        # Splitting takes as long as an operation on a small parameter.
        known = self._split.get((id(tensor), gaps))
        if known is not None and known[0] is tensor:
            return known[1]
        found = split()
        if len(self._split) > MAX_SPLIT:
            self._split.clear()
        self._split[id(tensor), gaps] = tensor, found
        return found

    def _without_gaps(self, tensor: Tensor) -> Sequence[Tensor]:
        pieces = [
            part
            for size, length in zip(self.sizes, self.lengths, strict=True)
            for part in (size, length - size)
        ]
        return tensor.split_with_sizes(pieces)[::2]


MAX_SPLIT = 64
"""Number of tensors whose elements a `Part` remembers."""


class Parts:
    """Divides `Spans` into parts of at most *longest* elements, or of one larger parameter."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._made_for: tuple[object, object, bool] | None = None
        self._parts: list[Part] = []

    def of(self, spans: Spans, *, together: bool) -> list[Part]:
        """Return the parts of *spans*. If *together* is false, each part holds one parameter."""
        made_for = self._made_for
        # A `FlatState` has one list of parameters, whose memory stays the same.
        if (
            made_for is None
            or made_for[0] is not spans.params
            or made_for[1] is not spans.inside
            or made_for[2] != together
        ):
            self._made_for = spans.params, spans.inside, together
            self._parts = list(self._made(spans, together=together))
        return self._parts

    def __getstate__(self) -> dict[str, object]:
        """Return the state of a copied or unpickled object: *longest*, without any parts."""
        return {"_longest": self._longest, "_made_for": None, "_parts": []}

    def _made(self, spans: Spans, *, together: bool) -> Iterator[Part]:
        for i, (param, inside) in enumerate(zip(spans.params, _in(spans), strict=True)):
            start, first = 0, 0
            while first < len(inside.sizes):
                last, stop = first + 1, start + inside.lengths[first]
                while together and last < len(inside.sizes):
                    if stop + inside.lengths[last] - start > self._longest:
                        break
                    stop += inside.lengths[last]
                    last += 1
                within = Inside(inside.sizes[first:last], inside.lengths[first:last])
                yield Part(i, start, within, param.numel())
                start, first = stop, last


def _in(spans: Spans) -> list[Inside]:
    if spans.inside is not None:
        return spans.inside
    assert len(spans.params) == 1
    size = spans.params[0].numel()
    return [Inside([size], [size])]
