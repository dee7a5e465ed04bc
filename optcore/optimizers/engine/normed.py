"""
The engine for rules whose step depends on norms of the parameter or is masked (``cautious``).

The engine passes over the memory twice: first to compute the norms, or how many elements the mask
keeps, and then to update the parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optcore.optimizers.engine.engines import MAX_SLICE, Eager
from optcore.optimizers.engine.memory.segments import Inside, Spans
from optcore.optimizers.engine.tracing.per_param import PerParam
from optcore.optimizers.engine.transforms.clipping import wide_dtype
from optcore.optimizers.rules.rule import Numbers, mask_scale


class Normed(Eager):
    """
    Computes what the step of each parameter depends on, such as norms; then runs the rule.

    Small parameters that follow each other in memory are updated together. Most operations run once
    for all of them; an operation with a number that depends on norms runs once for each parameter.
    """

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        # The rule computes its step a second time, since storing the step would take as much memory
        # as the parameter.
        values = {**self._unmasked, **numbers, **self._rule.scalars(t, numbers, self._flags)}
        parts = list(_parts_of(spans, together=self._runs_together(spans)))
        # On a CPU, part by part: what the first pass has read is still in the cache for the second.
        # On a GPU, all norms first, so that the CPU waits only once.
        at_once = 1 if spans.params[0].is_cpu else len(parts)
        for i in range(0, len(parts), at_once):
            some = parts[i : i + at_once]
            for part, ratios in zip(some, self._ratios(some, numbers, values), strict=True):
                assert part.inside is not None
                found = _gathered(ratios, part.inside[0].lengths)
                super().__call__(part, t, {**numbers, **found})

    def _runs_together(self, spans: Spans) -> bool:
        """Return whether several parameters can be updated together with the same results."""
        # A mask that depends on ratios is computed by the rule itself, which takes one number.
        if self._rule.norms is not None and self._rule.masks is not None:
            return False
        # torch computes the last elements of a tensor, which fill no register, with other code. In
        # these dtypes that gives the same bits, except for powers, which no rule with norms and no
        # cautious rule computes.
        return spans.params[0].dtype in (torch.float32, torch.float64)

    def _ratios(
        self, parts: Sequence[Spans], numbers: Numbers, values: Numbers
    ) -> list[list[dict[str, float]]]:
        """
        Return the numbers that depend on norms.

        The result has a list for each of *parts*, with name -> number for each parameter in it.
        """
        given = {**values, **self._flags}
        sizes = [[float(size) for size in inside.sizes] for part in parts for inside in _in(part)]
        found: list[list[dict[str, float]]] = [[{} for _ in each] for each in sizes]
        if self._rule.norms is not None:
            ratios = self._rule.ratios
            assert ratios is not None
            norms = self._norms(parts, self._rule.norms, [given] * len(parts))
            found = [
                [
                    ratios(norm, {**numbers, "size": size}, self._flags)
                    for norm, size in zip(*each, strict=True)
                ]
                for each in zip(norms, sizes, strict=True)
            ]
        if self._rule.masks is not None and self._flags.get("cautious"):
            masks = self._rule.masks
            unscaled = self._flags.get("unscaled_mask")
            each_given = [
                {**given, **_gathered(each, inside.lengths)}
                for each, part in zip(found, parts, strict=True)
                for inside in _in(part)
            ]
            norms = self._norms(parts, lambda *x, **y: (masks(*x, **y),), each_given)
            for each, of_part, its_sizes in zip(found, norms, sizes, strict=True):
                for ratio, norm, size in zip(each, of_part, its_sizes, strict=True):
                    ratio["mask_scale"] = 1.0 if unscaled else mask_scale(norm[0], size)
        return found

    def _norms(
        self,
        parts: Sequence[Spans],
        tensors_of: Callable[..., tuple[Tensor, ...]],
        values: Sequence[Mapping[str, Any]],
    ) -> list[list[list[float]]]:
        """
        Return the norms of tensors that *tensors_of* computes from each parameter.

        The result has a list for each of *parts*, with a list of norms for each parameter in it.

        Args:
            parts: the parts, with one or more parameters each.
            tensors_of: a function like `Rule.norms`, which returns tensors.
            values: for each of *parts*, the numbers and flags that *tensors_of* takes.
        """
        norms = [
            self._norms_of(part, tensors_of, given)
            for part, given in zip(parts, values, strict=True)
        ]
        # All in one transfer, so that the CPU waits only once for a GPU.
        flat: list[float] = torch.cat([part.reshape(-1) for part in norms]).tolist()
        left = iter(flat)
        return [[[next(left) for _ in range(part.shape[1])] for _ in part] for part in norms]

    def _norms_of(
        self, part: Spans, tensors_of: Callable[..., tuple[Tensor, ...]], given: Mapping[str, Any]
    ) -> Tensor:
        """Return, in double, a tensor with one row for each parameter in *part*: its norms."""
        buffers = (part.params[0], part.grads[0], *(slot[0] for slot in part.slots))
        (inside,) = _in(part)
        if len(inside.sizes) > 1:
            columns = tensors_of(buffers[0], buffers[1].to(buffers[0].dtype), *buffers[2:], **given)
            views = [view for column in columns for view in _views(column, inside)]
            norms = _over_slices([torch.stack(_norms_on_device(views))])
            return norms.view(len(columns), len(inside.sizes)).T
        slices = []
        # *tensors_of* makes new tensors, so it gets slices. MAX_SLICE decides the order in which a
        # norm is summed, and so its last bits: a change needs a new `LAYOUT` in the fingerprint.
        for param, grad, *slots in zip(*(b.split(MAX_SLICE) for b in buffers), strict=True):
            results = tensors_of(param, grad.to(param.dtype), *slots, **given)
            slices.append(torch.stack(_norms_on_device(results)))
        return _over_slices(slices).unsqueeze(0)


def _parts_of(spans: Spans, *, together: bool) -> Iterator[Spans]:
    """
    Yield the parts of *spans* that are computed one after the other, each of one range.

    If *together*, a part holds one parameter, or several small ones that follow each other. If not,
    each part holds one parameter.
    """
    if [inside.sizes for inside in _in(spans)] == [[spans.params[0].numel()]]:
        yield spans._replace(inside=_in(spans))
        return
    for i, inside in enumerate(_in(spans)):
        start, first = 0, 0
        while first < len(inside.sizes):
            last, stop = first + 1, start + inside.lengths[first]
            while together and last < len(inside.sizes):
                if stop + inside.lengths[last] - start > MAX_SLICE:
                    break
                stop += inside.lengths[last]
                last += 1
            sizes, lengths = inside.sizes[first:last], inside.lengths[first:last]
            end = stop if last > first + 1 else start + sizes[0]
            yield Spans(
                [spans.params[i][start:end]],
                [spans.grads[i][start:end]],
                [[slot[i][start:end]] for slot in spans.slots],
                None if spans.stored is None else [spans.stored[i][start:end]],
                aligned=spans.aligned,
                inside=[Inside(sizes, lengths)],
            )
            start, first = stop, last


def _in(spans: Spans) -> list[Inside]:
    if spans.inside is not None:
        return spans.inside
    assert len(spans.params) == 1
    size = spans.params[0].numel()
    return [Inside([size], [size])]


def _gathered(ratios: Sequence[Mapping[str, float]], lengths: Sequence[int]) -> dict[str, Any]:
    """
    Return name -> number for all parameters of a part; a `PerParam` if their numbers differ.

    Args:
        ratios: for each parameter, name -> number.
        lengths: the number of elements of each parameter, with the gap after it.
    """
    first = ratios[0]
    if len(ratios) == 1:
        return dict(first)
    columns = {name: [ratio[name] for ratio in ratios] for name in first}
    return {
        # A number that is 0 has another program, and all parameters in a part run the same.
        name: column[0] if len(set(column)) == 1 else PerParam(column, lengths)
        for name, column in columns.items()
    }


def _views(tensor: Tensor, inside: Inside) -> list[Tensor]:
    """Return, for each parameter in *inside*, its elements of *tensor*."""
    pieces = [part for size, length in zip(*inside, strict=True) for part in (size, length - size)]
    return list(tensor.split_with_sizes(pieces)[::2])


def _over_slices(norms: Sequence[Tensor]) -> Tensor:
    """Return, in double, the norms over all slices; *norms* has a tensor of norms per slice."""
    # In double: the squares of float32 norms may overflow.
    total: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)).double(), dim=0)
    return total


def _norms_on_device(tensors: Sequence[Tensor]) -> list[Tensor]:
    if tensors[0].is_cpu and wide_dtype(tensors[0]) is None:
        # One call. On a GPU, and from a narrow dtype, it sums otherwise than `norm_of`.
        return list(torch._foreach_norm(list(tensors), 2))
    return [norm_of(tensor) for tensor in tensors]


def norm_of(tensor: Tensor) -> Tensor:
    """Return the norm of *tensor*, in float32 or wider."""
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=wide_dtype(tensor))
    return norm
