"""
Engines for updates that one pass over flat memory cannot compute.

    Whole          for a rule that needs the shape of a parameter
    ByRows         for a rule that skips rows without a gradient

There are also wrappers around an engine, which update one parameter per call:

    ClippedByNorm  limits the norm of each gradient
    ClippedByUnit  limits the gradient of each unit by the norm of the unit's weights
    Centralized    subtracts the mean of each row of a gradient
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor

from optcore.optimizers.engine.engines import MAX_SLICE, Eager, Engine
from optcore.optimizers.engine.memory.flat import refused_sparse
from optcore.optimizers.engine.memory.segments import Segment, Spans
from optcore.optimizers.engine.normed import Normed, norm_of
from optcore.optimizers.engine.transforms.centralize import centralized, is_centralized
from optcore.optimizers.engine.transforms.clipping import wide_dtype
from optcore.optimizers.engine.transforms.traced import Transforms, arguments, limited
from optcore.optimizers.rules.rule import Flags, Numbers, Rule

SMALLEST_NORM = 1e-6
"""Lower bound of the norm that a unit's gradient is divided by, as in optax and timm."""
STACKED = 3
"""A tensor with this number of dimensions is a stack of matrices, as in optax."""


class Whole:
    """Runs a rule on each parameter in its own shape."""

    name = "eager"

    def __init__(self, rule: Rule, flags: Flags) -> None:
        self._rule, self._flags = rule, flags
        self._taken = arguments(rule.update)

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update number *t*, in place, to *spans*: one parameter, or several small ones."""
        values = {**numbers, **self._rule.scalars(t, numbers, self._flags), **self._flags}
        # Runs that began under an older version keep their bits.
        values["in_blocks"] = spans.aligned
        if len(spans.params) > 1:
            assert self._rule.together is not None
            self._rule.together(spans.params, spans.grads, *spans.slots, **values)
            return
        param, slots = spans.params[0], [slot[0] for slot in spans.slots]
        grad = spans.grads[0].to(param.dtype)
        results = self._rule.update(param, grad, *slots, **self._taken(values))
        _write((param, *slots), results)
        if spans.stored is not None:
            spans.stored[0].copy_(param)


def _write(places: Sequence[Tensor], results: Sequence[Tensor]) -> None:
    """Copy each of *results* to its place in *places*. A result may be a view of any place."""
    if all(map(operator.is_, results, places)):  # all written in place already
        return
    memory = {place.untyped_storage().data_ptr() for place in places}
    # A result in the memory of a place (as when two slots are swapped) is cloned before any place
    # is written.
    sources = [
        result.clone()
        if result is not place and result.untyped_storage().data_ptr() in memory
        else result
        for place, result in zip(places, results, strict=True)
    ]
    for place, source in zip(places, sources, strict=True):
        if source is not place:
            place.copy_(source)


class ByRows(Whole):
    """
    Runs an elementwise rule on those rows of a parameter that have a gradient.

    A row-sparse gradient has only some rows. A dense gradient has all rows.
    """

    def __init__(self, rule: Rule, flags: Flags) -> None:
        super().__init__(rule, flags)
        self._dense = Eager(rule, flags)

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update number *t*, in place, to the one parameter in *spans*."""
        if not spans.grads[0].is_sparse:
            # `Eager` runs in slices, which need far less memory than operations on whole tensors.
            flat = _flattened(spans)
            if flat is None:
                super().__call__(spans, t, numbers)
            else:
                self._dense(flat, t, numbers)
            return
        # An Embedding's gradient has a row for every lookup; after coalescing, one for every index.
        grad = spans.grads[0].coalesce()
        rows = grad.indices()[0]
        if not len(rows):
            return
        buffers = (spans.params[0], *(slot[0] for slot in spans.slots))
        # Indexing copies, so the rows are written back. After coalescing, no row occurs twice.
        param, *slots = [buffer[rows] for buffer in buffers]
        super().__call__(Spans([param], [grad.values()], [[slot] for slot in slots]), t, numbers)
        for buffer, part in zip(buffers, (param, *slots), strict=True):
            buffer[rows] = part
        if spans.stored is not None:
            spans.stored[0][rows] = param.to(spans.stored[0].dtype)


def _flattened(spans: Spans) -> Spans | None:
    """Return *spans*, which hold one parameter, as 1-D views; None if any is not contiguous."""
    stored = spans.stored or []
    tensors = [*spans.params, *spans.grads, *(slot[0] for slot in spans.slots), *stored]
    if not all(tensor.is_contiguous() for tensor in tensors):
        return None
    return Spans(
        [spans.params[0].view(-1)],
        [spans.grads[0].view(-1)],
        [[slot[0].view(-1)] for slot in spans.slots],
        [stored[0].view(-1)] if stored else None,
        aligned=spans.aligned,
    )


class ClippedByNorm:
    """
    Scales each gradient to a norm of at most *largest*, then runs the wrapped engine.

    If *root_mean_square* is true, *largest* limits the root mean square instead of the norm.
    """

    def __init__(self, engine: Engine, largest: float, *, root_mean_square: bool = False) -> None:
        self.name, self._engine, self._largest = engine.name, engine, largest
        self._root_mean_square = root_mean_square

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update number *t*, in place, to the one parameter in *spans*."""
        grad = spans.grads[0]
        grad = grad.coalesce().values() if grad.is_sparse else grad
        norm = float(norm_of(grad)) * numbers["grad_scale"]
        largest = self._largest
        if self._root_mean_square:
            largest *= spans.params[0].numel() ** 0.5
        scale = numbers["grad_scale"] * (largest / max(norm, largest))
        self._engine(spans, t, {**numbers, "grad_scale": scale})


class ClippedByUnit:
    """
    Limits the gradient by the norms of the weights, unit by unit, then runs the wrapped engine.

    A unit is all weights that compute one output, such as a row of a matrix. The norm of a unit's
    gradient is limited to a share of the norm of the unit's weights. `ClipAdaptive` has the
    formula. The gradient itself does not change: the wrapped engine gets a limited copy.
    """

    def __init__(self, engine: Engine, share: float, eps: float, *, output_last: bool) -> None:
        self.name, self._engine = engine.name, engine
        self._share, self._eps, self._output_last = share, eps, output_last

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update number *t*, in place, to the one parameter in *spans*."""
        segment, grad = spans.segment, spans.grads[0]
        assert segment is not None
        if grad.is_sparse:
            raise refused_sparse(segment.name, "an adaptive clip")
        limited = torch.empty_like(grad)
        param, view, result = (_as_param(x, segment) for x in (spans.params[0], grad, limited))
        norms = self._unit_norms(view) * numbers["grad_scale"]
        largest = self._unit_norms(param).clamp(min=self._eps) * self._share
        factor = torch.where(norms < largest, 1.0, largest / norms.clamp(min=SMALLEST_NORM))
        torch.mul(view, factor, out=result)
        self._engine(spans._replace(grads=[limited]), t, numbers)

    def _unit_norms(self, tensor: Tensor) -> Tensor:
        dims = list(range(tensor.ndim))
        # As in optax: a tensor like (1, n, 1) is a vector.
        if sum(size > 1 for size in tensor.shape) > 1 if self._output_last else tensor.ndim > 1:
            dims = self._inputs(tensor.ndim)
        norms: Tensor = torch.linalg.vector_norm(
            tensor, dim=dims or None, keepdim=True, dtype=wide_dtype(tensor)
        )
        return norms

    def _inputs(self, ndim: int) -> list[int]:
        """Return the dimensions over which the norm of a unit is taken."""
        if not self._output_last:
            return list(range(1, ndim))
        # optax treats a tensor of three dimensions as a stack of matrices.
        return [0] if ndim == STACKED else list(range(ndim - 1))


class Centralized:
    """
    Subtracts from each row of a gradient the mean of the row, then runs the wrapped engine.

    This is gradient centralization. It follows unscaling and clipping, and applies only to the
    parameters that `is_centralized` selects.

    MindSpore adds the weight decay to the gradient and then centralizes the sum, so in dialect
    mindspore the decay is centralized too.
    """

    def __init__(
        self, engine: Engine, of_limited: Engine, transforms: Transforms, *, with_decay: bool
    ) -> None:
        """
        Wrap two engines for the same rule.

        Args:
            engine: the engine for parameters whose gradient is not centralized.
            of_limited: the engine for parameters whose gradient is centralized, which takes
                gradients that are already unscaled and clipped.
            transforms: the transforms that *engine* applies.
            with_decay: whether the weight decay is centralized too.
        """
        self.name, self._engine, self._of_limited = engine.name, engine, of_limited
        self._transforms, self._with_decay = transforms, with_decay

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update number *t*, in place, to the one parameter in *spans*."""
        segment = spans.segment
        assert segment is not None
        if not is_centralized(segment.param):
            self._engine(spans, t, numbers)
            return
        flat = spans.params[0].ndim == 1
        # A norm, or the share of a mask, is taken over the whole parameter.
        whole = isinstance(self._of_limited, Normed)
        in_rows = flat and not whole and _rows_follow_each_other(segment)
        param, grad = spans.params[0], spans.grads[0]
        if flat and not in_rows:
            param, grad = _shaped(param, segment), _shaped(grad, segment)
        decay = numbers["weight_decay"] if self._with_decay else 0.0
        for stretch, part in centralized(
            grad.reshape(-1),
            segment.param.shape[0],
            # A rule that needs the shape of the parameter takes the whole matrix at once.
            MAX_SLICE if in_rows else param.numel(),
            param.reshape(-1),
            decay=-decay if self._transforms.maximize else decay,  # the gradient is negated later
            limited=lambda grad: limited(grad, numbers, self._transforms),
        ):
            where = _part(spans, stretch, part) if in_rows else _whole(spans, part, segment)
            self._of_limited(where, t, numbers)


def _rows_follow_each_other(segment: Segment) -> bool:
    """Return whether each row (slice of the first dimension) is contiguous in flat memory."""
    rows = segment.param.shape[0]
    return rows == 1 or segment.strides[0] * rows == segment.param.numel()


def _shaped(flat: Tensor, segment: Segment) -> Tensor:
    """Return *flat*, whose elements are in memory order, as a view in the parameter's shape."""
    return flat.as_strided(segment.param.shape, segment.strides)


def _as_param(tensor: Tensor, segment: Segment) -> Tensor:
    """Return *tensor*, which may be flat, as a view in the parameter's shape."""
    return tensor if tensor.shape == segment.param.shape else _shaped(tensor, segment)


def _whole(spans: Spans, grad: Tensor, segment: Segment) -> Spans:
    """Return *spans* with *grad* as the gradient; *grad* is 1-D, row after row."""
    grad = grad.view(segment.param.shape)
    if spans.params[0].ndim > 1:
        return spans._replace(grads=[grad])
    ordered = torch.empty_like(spans.params[0])
    _shaped(ordered, segment).copy_(grad)
    return spans._replace(grads=[ordered])


def _part(spans: Spans, stretch: slice, grad: Tensor) -> Spans:
    return Spans(
        [spans.params[0][stretch]],
        [grad],
        [[slot[0][stretch]] for slot in spans.slots],
        None if spans.stored is None else [spans.stored[0][stretch]],
        aligned=spans.aligned,
    )
