"""
Engines, which apply an update rule to parameters in flat memory. The rule contains the math.

    Eager    traces the rule and runs it in place, slice by slice; works for elementwise rules
    Fused    runs torch's own fused kernel, if torch has one that computes exactly this rule

An engine is chosen before the first update and stays for the whole run, since the results of two
engines differ in the last bits.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from optcore.optimizers.engine.memory.segments import ALIGNMENT_BYTES, Spans
from optcore.optimizers.engine.tracing.per_param import PerParam
from optcore.optimizers.engine.tracing.program import Program, trace
from optcore.optimizers.rules.rule import Flags, Numbers, Rule

MIN_SLICE, MAX_SLICE = 131_072, 524_288
"""Smallest and largest number of elements per slice: waking the threads then costs little, and
several such buffers stay in the last-level cache. (Adam on 12M float32 parameters, two cores:
20 ms at 32k, 14.5 at 64k, 13 at 128k, 10.9 at 512k, 10.1 at 1M; torch's foreach kernels: 17.)"""
GRAIN = 32_768
"""torch divides an elementwise operation on more elements than this among its threads."""
SCRATCH_SHARE = 20
"""Scratch buffers take at most 1/20 of the size of a model with millions of parameters."""


class Engine(Protocol):
    """Applies an optimizer's update rule to parameters, in place."""

    name: str

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """
        Apply update *t* to *spans*, in place.

        Args:
            spans: the memory of the parameters, their gradients and their slots.
            t: the number of the update, 1 for the first.
            numbers: the current hyperparameters, and ``grad_scale``, the factor that gradients are
                multiplied by.
        """


class Eager:
    """
    Runs an elementwise rule, as a traced program, on one slice of memory after the other.

    A rule may leave out operations if a hyperparameter is 0. So the rule is traced once for each
    set of hyperparameters that are 0 in the same update.
    """

    name = "eager"

    def __init__(self, rule: Rule, flags: Flags) -> None:
        self._rule, self._flags = rule, flags
        parameters = inspect.signature(rule.update).parameters.values()
        arguments = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
        # sag takes a number for each batch of an epoch, however many there are.
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._update_flags = {name: flags[name] for name in arguments if name in flags}
        self._update_numbers = [name for name in arguments if name not in flags]
        self._programs: dict[
            tuple[tuple[str, ...], tuple[str, ...]], tuple[list[str], Program]
        ] = {}
        self._scratch = Scratch()
        self._unmasked = {} if rule.masks is None else {"mask_scale": 1.0}

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        values = {**self._unmasked, **numbers, **self._rule.scalars(t, numbers, self._flags)}
        names, program = self._program(values)
        arguments = [values[name] for name in names]
        if spans.stored is None and len(spans.params) == 1 and spans.params[0].numel() <= GRAIN:
            # Always one slice. The rest of this method would take a tenth of a small step.
            param = spans.params[0]
            slots = [slot[0] for slot in spans.slots]
            scratch = self._scratch.take(program.num_scratch, param)
            program.run(param, spans.grads[0], *slots, *arguments, *scratch)
            return
        size = sum([param.numel() for param in spans.params])
        # With a single pass nothing is read again, so there is nothing to keep in the cache.
        length = size if program.num_passes == 1 else slice_length(size, program.num_scratch)
        if any(isinstance(argument, PerParam) for argument in arguments):
            # A slice of several parameters whose numbers differ cannot be split, not even to end on
            # 128 bytes: `Normed` updates only parameters together that keep their bits in any.
            length, spans = size, spans._replace(aligned=False)
        if spans.stored is not None:
            self._run_wide(program, spans, arguments, length)
            return
        for buffers in zip(spans.params, spans.grads, *spans.slots, strict=True):
            lengths = _lengths(buffers[0], length, aligned=spans.aligned)
            self._run(program, buffers, arguments, lengths)

    @property
    def scratch_bytes(self) -> int:
        """Total size of the scratch buffers in bytes."""
        return self._scratch.nbytes

    def _program(self, values: Numbers) -> tuple[list[str], Program]:
        # `if weight_decay:` in a rule leaves operations out where the number is 0, so each set of
        # numbers that are 0 has a program of its own. A schedule may move a number to 0 and back.
        takes = values if self._takes_all else self._update_numbers
        zeros = tuple([name for name in takes if not values[name]])
        per_param = tuple([name for name in takes if isinstance(values[name], PerParam)])
        if (zeros, per_param) not in self._programs:
            names = [name for name in takes if name not in zeros]
            self._programs[zeros, per_param] = (
                names,
                trace(
                    self._rule.update,
                    slots=list(self._rule.slots(values, self._flags)),
                    numbers=names,
                    constants={**self._update_flags, **dict.fromkeys(zeros, 0.0)},
                    per_param=per_param,
                ),
            )
        return self._programs[zeros, per_param]

    def _run(
        self,
        program: Program,
        buffers: tuple[Tensor, ...],
        arguments: list[float],
        lengths: list[int],
    ) -> None:
        # Most networks fit into one slice. Splitting their buffers nevertheless would cost half as
        # much time as updating 20k parameters.
        if len(lengths) == 1:
            program.run(*buffers, *arguments, *self._scratch.take(program.num_scratch, buffers[0]))
            return
        for parts in zip(*(buffer.split(lengths) for buffer in buffers), strict=True):
            program.run(*parts, *arguments, *self._scratch.take(program.num_scratch, parts[0]))

    def _run_wide(
        self, program: Program, spans: Spans, arguments: list[float], length: int
    ) -> None:
        """Update the float32 copies of parameters, then copy the results to the parameters."""
        assert spans.stored is not None
        for span in zip(spans.stored, spans.params, spans.grads, *spans.slots, strict=True):
            lengths = _lengths(span[1], length, aligned=spans.aligned)
            for stored, param, grad, *slots in zip(*(b.split(lengths) for b in span), strict=True):
                scratch = self._scratch.take(program.num_scratch, param)
                # Converted by slices: there is never a float32 copy of a whole large gradient.
                program.run(param, grad.to(param.dtype), *slots, *arguments, *scratch)
                stored.copy_(param)


class Fused:
    """Runs torch's fused kernel for a rule, on all ranges of memory in one call."""

    name = "fused"

    def __init__(self, rule: Rule) -> None:
        assert rule.fused is not None
        self._kernel, self._unaligned = rule.fused, rule.fused_unaligned or rule.fused

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place."""
        # `spans.stored` is None here: `fusible` refuses multi_precision.
        kernel = self._kernel if spans.aligned else self._unaligned
        kernel(spans.params, spans.grads, spans.slots, t, numbers)


class Carrying:
    """
    Wraps an engine for a rule with numbers that each update computes for the next (`Rule.carries`).

    It gives the engine the numbers from the previous update, and then stores those for the next
    update. The numbers may depend on the hyperparameters of all earlier updates.
    """

    def __init__(self, engine: Engine, rule: Rule, flags: Flags) -> None:
        assert rule.carries is not None
        self.name = engine.name
        self._engine, self._flags = engine, flags
        self._carries, self._made_with = rule.carries, rule.carries_from

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, in place, and store the numbers for the next update."""
        part = spans.carried
        assert part is not None
        part.numbers.note(tuple([numbers[name] for name in self._made_with]))
        # No update comes before the first. One value for all parameters: where their values
        # differ, `FlatState.updates` returns each parameter by itself.
        at = t - spans.ahead
        carried = part.read() if at > 1 else self._carries(0, numbers, self._flags)
        given = {**numbers, **carried}
        following = self._carries(at, given, self._flags)
        self._engine(spans, t, {**numbers, **following} if spans.ahead else given)
        part.write(following)


def slice_length(size: int, num_scratch: int) -> int:
    """
    Return the number of elements per slice.

    Args:
        size: the number of elements to update.
        num_scratch: the number of scratch buffers, each as long as a slice.
    """
    wanted = size // (SCRATCH_SHARE * max(num_scratch, 1))
    return min(MAX_SLICE, max(MIN_SLICE, 1 << max(wanted, 1).bit_length() - 1))


def _lengths(buffer: Tensor, length: int, *, aligned: bool) -> list[int]:
    """Return the lengths of the slices into which *buffer* is split, each at most *length*."""
    if not aligned:
        return slice_lengths(buffer.numel(), length, 1, 1)
    # On a GPU, an element has the same bits in every slice.
    threads = 1 if buffer.is_cuda else torch.get_num_threads()
    return slice_lengths(buffer.numel(), length, ALIGNMENT_BYTES // buffer.itemsize, threads)


@lru_cache(maxsize=4096)
def slice_lengths(size: int, length: int, alignment: int, threads: int) -> list[int]:
    """
    Return the lengths of the slices into which *size* elements are split, each at most *length*.

    torch divides a slice among *threads*. The lengths make each thread's share a multiple of
    *alignment* elements, except in the last slice if *size* is no such multiple. So the result for
    an element does not depend on its position (`optcore.optimizers.engine.memory.segments`).
    """
    found: list[int] = []
    while size or not found:
        part = min(size, length)
        while part > GRAIN and (rest := part % (alignment * min(threads, -(-part // GRAIN)))):
            part -= rest
        found.append(part)
        size -= part
    return found


class Scratch:
    """Scratch buffers, which are reused for every slice of every update."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        self._views: dict[tuple[int, int, torch.dtype, torch.device], list[Tensor]] = {}

    @property
    def nbytes(self) -> int:
        """Total size of the buffers in bytes."""
        return sum(buffer.nbytes for pool in self._buffers.values() for buffer in pool)

    def take(self, count: int, like: Tensor) -> list[Tensor]:
        """Return *count* buffers with the length, dtype and device of *like*."""
        key = (count, like.numel(), like.dtype, like.device)
        # Cached, since making a view costs nearly half as much as a small operation.
        if key not in self._views:
            self._views[key] = [buffer[: like.numel()] for buffer in self._grown(count, like)]
        return self._views[key]

    def _grown(self, count: int, like: Tensor) -> list[Tensor]:
        pool = self._buffers.setdefault((like.dtype, like.device), [])
        if len(pool) < count or (pool and pool[0].numel() < like.numel()):
            # All buffers are replaced, and all views: a cached view would keep the memory of its
            # old buffer. The old ones are freed first.
            wanted = max(count, len(pool))
            length = max([like.numel(), *(buffer.numel() for buffer in pool)])
            pool.clear()
            self._views.clear()
            pool += [
                torch.empty(length, dtype=like.dtype, device=like.device) for _ in range(wanted)
            ]
        return pool[:count]
