"""
Engines for what is not one pass over flat memory.

    Normed         a rule that scales each parameter by norms: two passes
    Whole          a rule that sees a parameter as it is shaped
    ByRows         a rule that leaves rows without a gradient alone

and, around any engine whose spans hold one parameter each:

    ClippedByNorm  each gradient limited by its own norm
    Centralized    each gradient without the means of its rows
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from optcore.optimizers.centralize import centralized, is_centralized
from optcore.optimizers.engines import MAX_SLICE, Eager, Engine
from optcore.optimizers.flat import Span
from optcore.optimizers.gradients import only
from optcore.optimizers.rule import Flags, Numbers, Rule


class Normed(Eager):
    """Measures each parameter first, slice by slice, then runs the rule with what that gives."""

    def __call__(self, spans: Sequence[Span], t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        for span in spans:
            super().__call__([span], t, {**numbers, **self._ratios(span, t, numbers)})

    def _ratios(self, span: Span, t: int, numbers: Numbers) -> dict[str, float]:
        assert self._rule.norms is not None
        assert self._rule.ratios is not None
        values = {**numbers, **self._rule.scalars(t, numbers, self._flags)}
        buffers = (span.param, span.grad, *span.slots)
        norms: list[list[Tensor]] = []
        for param, grad, *slots in zip(*(b.split(MAX_SLICE) for b in buffers), strict=True):
            parts = self._rule.norms(param, grad.to(param.dtype), *slots, **values)
            norms.append([torch.linalg.vector_norm(part) for part in parts])
        total = torch.stack([torch.stack(row) for row in norms]).double()
        return self._rule.ratios(total.norm(dim=0).tolist(), numbers, self._flags)


class Whole:
    """Runs a rule on each parameter as it is shaped."""

    name = "eager"

    def __init__(self, rule: Rule, flags: Flags) -> None:
        self._rule, self._flags = rule, flags

    def __call__(self, spans: Sequence[Span], t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        values = {**numbers, **self._rule.scalars(t, numbers, self._flags), **self._flags}
        arguments = only(values, self._rule.update)
        for span in spans:
            grad = span.grad.to(span.param.dtype)
            results = self._rule.update(span.param, grad, *span.slots, **arguments)
            for place, result in zip((span.param, *span.slots), results, strict=True):
                place.copy_(result)
            if span.stored is not None:
                span.stored.copy_(span.param)


class ByRows(Whole):
    """Runs an elementwise rule on the rows that a sparse gradient has; dense ones as a whole."""

    def __call__(self, spans: Sequence[Span], t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        for span in spans:
            if not span.grad.is_sparse:
                super().__call__([span], t, numbers)
                continue
            grad = span.grad.coalesce()
            rows = grad.indices()[0]
            if not len(rows):
                continue
            buffers = (span.param, *span.slots)
            parts = [buffer[rows] for buffer in buffers]
            super().__call__([Span(parts[0], grad.values(), tuple(parts[1:]))], t, numbers)
            for buffer, part in zip(buffers, parts, strict=True):
                buffer[rows] = part


class ClippedByNorm:
    """Another engine, on gradients whose norm is at most *largest*."""

    def __init__(self, engine: Engine, largest: float) -> None:
        self.name, self._engine, self._largest = engine.name, engine, largest

    def __call__(self, spans: Sequence[Span], t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        for span in spans:
            grad = span.grad.coalesce().values() if span.grad.is_sparse else span.grad
            norm = float(torch.linalg.vector_norm(grad)) * numbers["grad_scale"]
            scale = numbers["grad_scale"] * (self._largest / max(norm, self._largest))
            self._engine([span], t, {**numbers, "grad_scale": scale})


class Centralized:
    """
    Another engine, on gradients without the means of their rows.

    The weight decay is centralized too, as in MindSpore, where it is part of the gradient.
    """

    def __init__(self, engine: Engine, *, with_decay: bool) -> None:
        self.name, self._engine, self._with_decay = engine.name, engine, with_decay

    def __call__(self, spans: Sequence[Span], t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        for span in spans:
            assert span.segment is not None
            if not is_centralized(span.segment.param):
                self._engine([span], t, numbers)
                continue
            rows = span.segment.param.shape[0]
            if span.param.ndim > 1:
                whole = next(centralized(span.grad.reshape(-1), rows, span.grad.numel()))[1]
                self._engine([span._replace(grad=whole.view(span.grad.shape))], t, numbers)
                continue
            for stretch, grad in centralized(span.grad, rows, MAX_SLICE):
                self._engine([_part(span, stretch, grad)], t, numbers)


def _part(span: Span, stretch: slice, grad: Tensor) -> Span:
    return Span(
        span.param[stretch],
        grad,
        tuple(slot[stretch] for slot in span.slots),
        stored=None if span.stored is None else span.stored[stretch],
    )
