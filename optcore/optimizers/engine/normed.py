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

from optcore.optimizers.engine.engines import MAX_SLICE, Eager, Scratch
from optcore.optimizers.engine.memory.parts import Part, Parts
from optcore.optimizers.engine.memory.segments import Spans
from optcore.optimizers.engine.tracing.per_param import PerParam
from optcore.optimizers.engine.tracing.split import Call, Split, trace_norms, trace_split
from optcore.optimizers.engine.transforms.clipping import wide_dtype
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, mask_scale

SAVED_SHARE = 8
"""What the first pass keeps for the second takes at most 1/8 of the memory of the parameters, or
the memory of one slice."""


class Normed(Eager):
    """
    Computes what the step of each parameter depends on, such as norms; then runs the rule.

    Small parameters that follow each other in memory share both passes. Only an operation whose
    operand is a number of one parameter, such as its norm, runs once for each parameter.

    On a CPU, the second pass continues from the results of the first pass (`Split`). If a parameter
    is so large that these results would take too much memory (`SAVED_SHARE`), the second pass
    computes them again.

    On a GPU, the second pass always computes them again. The first pass runs for all parameters
    before it, so that the CPU waits only once for all norms.
    """

    def __init__(self, rule: Rule, flags: Flags) -> None:
        super().__init__(rule, flags)
        self._saved, self._parts = Scratch(), Parts(MAX_SLICE)
        self._splits: dict[tuple[Any, ...], Split] = {}
        # What the engine measures: norms, then masks, which may depend on the ratios.
        self._stages = ["norms"] if rule.norms is not None else []
        if rule.masks is not None and flags.get("cautious"):
            self._stages.append("masks")
            self._unmasked = {}

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        values = {**self._unmasked, **numbers, **self._rule.scalars(t, numbers, self._flags)}
        param = spans.params[0]
        # torch computes the last elements of a tensor, which fill no register, with other code. In
        # these dtypes that gives the same bits, except for powers, which no rule with norms and no
        # cautious rule computes.
        wide = param.dtype in (torch.float32, torch.float64)
        # A mask that depends on ratios is computed by the rule itself, which takes one number.
        together = wide and len(self._stages) == 1
        parts = self._parts.of(spans, together=together)
        space = 0
        if together and param.is_cpu:
            space = max(MAX_SLICE, sum([each.numel() for each in spans.params]) // SAVED_SHARE)
        # On a CPU, part by part: what the first pass has read is still in the cache for the second.
        # On a GPU, all norms first, so that the CPU waits only once.
        at_once = 1 if param.is_cpu else len(parts)
        for i in range(0, len(parts), at_once):
            some = [(part, part.of(spans)) for part in parts[i : i + at_once]]
            if space and self._continued(*some[0], values, numbers, space):
                continue
            for (part, own), ratios in zip(some, self._ratios(some, values, numbers), strict=True):
                super().__call__(own, t, {**numbers, **_gathered(ratios, part)})

    def _continued(
        self, part: Part, spans: Spans, values: Numbers, numbers: Numbers, space: int
    ) -> bool:
        """
        Update *part* by both programs of a split; return False if *space* is too small.

        *space* is the largest number of elements that may be kept between the programs.
        """
        (stage,), split = self._stages, self._split(values)
        param = spans.params[0]
        if split.num_saved * param.numel() > space:
            return False
        buffers = (*_buffers(spans), *self._saved.take(split.num_saved, param))
        norms = self._measured(part, split, values, buffers)
        found = _gathered(self._ratios_of(stage, norms, part, numbers), part)
        per_param = tuple([name for name in split.late if isinstance(found[name], PerParam)])
        second = (self._split(values, per_param) if per_param else split).second
        assert second is not None
        arguments = [values[name] for name in split.numbers]
        arguments += [found[name] for name in split.late]
        for each in _slices(buffers):
            second.run(*each, *arguments, *self._scratch.take(second.num_scratch, each[0]))
        if spans.stored is not None:
            spans.stored[0].copy_(param)
        return True

    def _ratios(
        self, parts: Sequence[tuple[Part, Spans]], values: Numbers, numbers: Numbers
    ) -> list[list[dict[str, float]]]:
        """Return the numbers that depend on norms, for each parameter in each of *parts*."""
        found: list[list[dict[str, float]]] = [[{} for _ in part.sizes] for part, _ in parts]
        for stage in self._stages:
            norms = []
            for (part, spans), before in zip(parts, found, strict=True):
                given = {**values, **_gathered(before, part)}
                split = self._only_norms(stage, given, len(spans.slots))
                norms.append(self._norms(part, split, given, _buffers(spans)))
            # All in one transfer, so that the CPU waits only once for a GPU.
            rows = iter(torch.cat(norms).tolist())
            for (part, _), before in zip(parts, found, strict=True):
                of_part = [next(rows) for _ in part.sizes]
                now = self._ratios_of(stage, of_part, part, numbers)
                for each, more in zip(before, now, strict=True):
                    each.update(more)
        return found

    def _ratios_of(
        self, stage: str, norms: Sequence[list[float]], part: Part, numbers: Numbers
    ) -> list[dict[str, float]]:
        """Return the numbers that depend on *norms*, for each parameter in *part*."""
        pairs = zip(norms, part.sizes, strict=True)
        if stage == "norms":
            ratios, given, flags = self._rule.ratios, dict(numbers), self._flags
            assert ratios is not None
            found = []
            for norm, size in pairs:
                given["size"] = float(size)
                found.append(ratios(norm, given, flags))
            return found
        unscaled = self._flags.get("unscaled_mask")
        return [
            {"mask_scale": 1.0 if unscaled else mask_scale(norm, float(size))}
            for (norm,), size in pairs
        ]

    def _measured(
        self, part: Part, split: Split, values: Numbers, buffers: tuple[Tensor, ...]
    ) -> list[list[float]]:
        """Run the first program of *split*; return a list with the norms for each parameter."""
        if buffers[0].dtype != torch.float32 or buffers[0].numel() > MAX_SLICE:
            norms: list[list[float]] = self._norms(part, split, values, buffers).tolist()
            return norms
        # A number in float32 is the same in double. One slice needs no sum over slices.
        (whole,) = _slices(buffers)
        found = [norm.item() for norm in self._norms_of(part, split, values, whole)]
        return [found[i :: len(part.sizes)] for i in range(len(part.sizes))]

    def _norms(
        self, part: Part, split: Split, values: Numbers, buffers: tuple[Tensor, ...]
    ) -> Tensor:
        """Run the first program of *split*; return a row with the norms for each parameter."""
        # MAX_SLICE decides the order in which a norm is summed, and so its last bits: a change
        # needs a new `LAYOUT` in the fingerprint.
        norms = [
            torch.stack(self._norms_of(part, split, values, each)) for each in _slices(buffers)
        ]
        # In double: the squares of float32 norms may overflow.
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms).double(), dim=0)
        return total.view(len(split.norms), len(part.sizes)).T

    def _norms_of(
        self, part: Part, split: Split, values: Numbers, buffers: tuple[Tensor, ...]
    ) -> list[Tensor]:
        """Return the norms that *split* measures, for each parameter in *part*, in `wide_dtype`."""
        num_extra = split.num_measured + split.first.num_scratch
        extra = self._scratch.take(num_extra, buffers[0])
        tensors = [*buffers, *extra[: split.num_measured]]
        if split.first.num_passes:
            arguments = [values[name] for name in split.numbers]
            split.first.run(*tensors, *arguments, *extra[split.num_measured :])
        return _norms_on_device([view for i in split.norms for view in part.views(tensors[i])])

    def _only_norms(self, stage: str, values: Numbers, num_slots: int) -> Split:
        """Return the program that measures norms and changes no state."""
        zeros = tuple([name for name in values if not values[name]])
        if (stage, zeros) not in self._splits:
            of = self._measures(stage, values, zeros)
            self._splits[stage, zeros] = trace_norms(of, num_slots)
        return self._splits[stage, zeros]

    def _split(self, values: Numbers, per_param: tuple[str, ...] = ()) -> Split:
        """Return the rule as two programs: one measures norms, and the other needs them."""
        zeros = tuple([name for name in values if not values[name]])
        if (zeros, per_param) not in self._splits:
            known = [name for name in self._update_numbers if name in values]
            update = Call(
                self._rule.update,
                [name for name in known if name not in zeros],
                {**self._update_flags, **{name: 0.0 for name in known if name in zeros}},
            )
            self._splits[zeros, per_param] = trace_split(
                update,
                self._measures(self._stages[0], values, zeros),
                len(self._rule.slots(values, self._flags)),
                late=[name for name in self._update_numbers if name not in values],
                per_param=per_param,
            )
        return self._splits[zeros, per_param]

    def _measures(self, stage: str, values: Numbers, zeros: Sequence[str]) -> Call:
        """Return the function that returns the tensors whose norms are measured."""
        function = getattr(self._rule, stage)
        if stage == "masks":
            function = _alone(function)
        numbers = [name for name in values if name not in zeros]
        return Call(function, numbers, {**dict.fromkeys(zeros, 0.0), **self._flags})


def _alone(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, ...]]:
    """Return *function* with its result in a tuple."""
    return lambda *tensors, **given: (function(*tensors, **given),)


def _buffers(spans: Spans) -> tuple[Tensor, ...]:
    return (spans.params[0], spans.grads[0], *[slot[0] for slot in spans.slots])


def _slices(buffers: tuple[Tensor, ...]) -> Iterator[tuple[Tensor, ...]]:
    """
    Yield *buffers*, of which the second is the gradient, in slices of at most `MAX_SLICE` elements.

    Each slice of the gradient is converted to the dtype of the parameter.
    """
    whole = buffers[0].numel() <= MAX_SLICE
    for param, grad, *rest in (
        [buffers] if whole else zip(*(each.split(MAX_SLICE) for each in buffers), strict=True)
    ):
        yield (param, grad.to(param.dtype), *rest)


def _gathered(ratios: Sequence[Mapping[str, float]], part: Part) -> dict[str, Any]:
    """
    Return name -> number for all parameters in *part*, gathered from the *ratios* of each.

    A number that is not the same for all of them is a `PerParam`.
    """
    first = ratios[0]
    if len(ratios) == 1:
        return dict(first)
    columns = {name: [ratio[name] for ratio in ratios] for name in first}
    return {
        # A number that is 0 has another program, and all parameters in a part run the same.
        name: column[0] if len(set(column)) == 1 else PerParam(column, part.split)
        for name, column in columns.items()
    }


def _norms_on_device(tensors: Sequence[Tensor]) -> list[Tensor]:
    if tensors[0].is_cpu and wide_dtype(tensors[0]) is None:
        # One call. On a GPU, and from a narrow dtype, it sums otherwise than `norm_of`.
        return list(torch._foreach_norm(list(tensors), 2))
    return [norm_of(tensor) for tensor in tensors]


def norm_of(tensor: Tensor) -> Tensor:
    """Return the norm of *tensor*, in float32 or wider."""
    norm: Tensor = torch.linalg.vector_norm(tensor, dtype=wide_dtype(tensor))
    return norm
