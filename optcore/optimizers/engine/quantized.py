"""
The engine for dialect bitsandbytes, which stores slots as 8-bit codes or in full precision.

A slot in full precision is float64 for a float64 parameter, else float32. A slot of codes is uint8,
and a second tensor holds the largest absolute value of each block of 256 elements
(`optcore.optimizers.engine.codes`). The second tensor follows the slot. Its name is the slot's name
with the suffix `LARGEST`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from optcore.optimizers.engine.codes import BLOCK, decoded, encode
from optcore.optimizers.engine.engines import Eager
from optcore.optimizers.engine.memory.segments import Spans
from optcore.optimizers.engine.transforms.traced import AVERAGE
from optcore.optimizers.rules.rule import Flags, Numbers, Rule
from optcore.spec.optimizers.state_bits import CODE_BITS, SMALLEST, StateBitsSpec

LARGEST = "_absmax"
"""Suffix of the name of the largest absolute values of a slot."""
SLICE = 131_072
"""Number of elements per slice, a multiple of `BLOCK`. Decoding and encoding a slice takes some ten
buffers of its size: 3.4 % of parameters, gradients and slots with 12.6M parameters, and 13.3 % in
slices of 524,288 elements, which are not faster. The slices have no effect on the bits."""


@dataclass(frozen=True)
class Storage:
    """
    How the slots of a group are stored.

    Attributes:
        bits: 8 to store the slots of a parameter as codes if it has at least `SMALLEST` elements;
            32 to store all slots in full precision.
        by_table: whether codes are chosen as by the CPU kernel of bitsandbytes, which differs from
            the CUDA kernels.
        decays: when the engine multiplies the parameter by 1 - lr * weight_decay: ``first``,
            before the rule, or ``last``, after the rule. None if the engine leaves the decay to the
            rule and its transforms.
        rounds_lr: whether lr is rounded to the dtype of a parameter whose slots have codes.
    """

    bits: int
    by_table: bool
    decays: Literal["first", "last"] | None
    rounds_lr: bool

    @classmethod
    def of(cls, spec: StateBitsSpec) -> Storage | None:
        """Return how *spec* stores slots; None if *spec* has another dialect than bitsandbytes."""
        if not spec.of_bitsandbytes:
            return None
        decays: Literal["first", "last"] | None = None
        if spec.as_cuda and spec.decoupled_weight_decay:
            decays = "last" if spec.DECAYS_LAST else "first"
        return cls(spec.state_bits, not spec.as_cuda, decays, spec.as_cuda and spec.ROUNDS_LR)

    def slots(self, param: Tensor, first_values: Mapping[str, float]) -> dict[str, Tensor]:
        """
        Return slot name -> new slot for *param*.

        *first_values* has the first value of each slot. A slot with codes is followed by a second
        tensor, with the largest absolute value of each block.
        """
        made = {}
        for name, value in first_values.items():
            wide = torch.full(param.shape, value, dtype=wide_dtype(param), device=param.device)
            if name == AVERAGE:
                made[name] = wide.copy_(param.detach())
            elif self.bits != CODE_BITS or param.numel() < SMALLEST:
                made[name] = wide
            else:
                assert value == 0  # for which any codes stand, in blocks whose largest value is 0
                made[name] = torch.zeros_like(wide, dtype=torch.uint8)
                made[name + LARGEST] = wide.new_zeros(-(-param.numel() // BLOCK))
        return made


class _Slot(NamedTuple):
    """One slot of one parameter, 1-D. *largest* is None for a slot that has no codes."""

    stored: Tensor
    largest: Tensor | None
    signed: bool

    def part(self, start: int, stop: int) -> _Slot:
        """Return the elements from *start* to *stop*; *start* is the first element of a block."""
        if stop - start == self.stored.numel():
            return self
        if self.largest is None:
            return self._replace(stored=self.stored[start:stop])
        largest = self.largest[start // BLOCK : -(-stop // BLOCK)]
        return self._replace(stored=self.stored[start:stop], largest=largest)

    def values(self) -> Tensor:
        """Return the values of the slot, decoded if they are codes."""
        if self.largest is None:
            return self.stored
        return decoded(self.stored, self.largest, signed=self.signed)


class Quantized:
    """
    Runs an elementwise rule on one slice of a parameter after the other.

    The codes of a slice are decoded before the rule, and the new values are encoded after it. If
    the parameter is narrower than float32, the rule runs on a float32 copy of the slice, which is
    then copied back. Slots in full precision are updated in place.
    """

    name = "eager"

    def __init__(self, rule: Rule, unaveraged: Rule, flags: Flags, storage: Storage) -> None:
        """
        Make an engine for *rule*.

        Args:
            rule: the rule with all transforms.
            unaveraged: *rule* without the moving average of the parameter. The engine computes the
                average itself, since a weight decay after the rule must come before the average.
            flags: the flags of the rule.
            storage: how the slots are stored.
        """
        self._rule, self._flags, self._storage = rule, flags, storage
        self._eager = Eager(unaveraged, flags)

    def __call__(self, spans: Spans, t: int, numbers: Numbers) -> None:
        """Apply update *t* to *spans*, which hold one parameter, in place."""
        param = spans.params[0]
        # Blocks follow the order of the indices, whatever the order in memory: reshape copies what
        # is not contiguous.
        flat, grad = param.reshape(-1), spans.grads[0].reshape(-1)
        names = list(self._rule.slots(numbers, self._flags))
        slots = list(self._slots(names, [slot[0] for slot in spans.slots]))
        keep = 1 - numbers["lr"] * numbers["weight_decay"]
        if self._storage.rounds_lr and any(slot.largest is not None for slot in slots):
            numbers = {**numbers, "lr": _rounded(numbers["lr"], param.dtype)}
        average = slots.pop() if AVERAGE in names else None
        for start in range(0, flat.numel(), SLICE):
            stop = min(start + SLICE, flat.numel())
            part = flat[start:stop]
            of_part = [slot.part(start, stop) for slot in slots]
            if self._storage.decays == "first":
                part.mul_(keep)
            self._run(part, grad[start:stop], of_part, t, numbers)
            # The CUDA kernels decay the rounded parameter, and round again.
            if self._storage.decays == "last":
                part.mul_(keep)
            if average is not None:
                self._average(part, average.part(start, stop).stored, t, numbers)
        if flat.data_ptr() != param.data_ptr():
            param.copy_(flat.view(param.shape))
        if spans.stored is not None:
            spans.stored[0].copy_(param)

    def _slots(self, names: Sequence[str], tensors: Sequence[Tensor]) -> Iterator[_Slot]:
        left = iter(tensors)
        for name in names:
            stored = next(left).reshape(-1)
            largest = next(left) if stored.dtype == torch.uint8 else None
            yield _Slot(stored, largest, name not in self._rule.not_negative)

    def _run(
        self, param: Tensor, grad: Tensor, slots: Sequence[_Slot], t: int, numbers: Numbers
    ) -> None:
        """Apply update *t* of the rule to a slice."""
        wide = param.to(wide_dtype(param))
        values = [slot.values() for slot in slots]
        spans = Spans([wide], [grad.to(wide.dtype)], [[value] for value in values])
        self._eager(spans, t, numbers)
        if wide is not param:
            param.copy_(wide)
        for slot, value in zip(slots, values, strict=True):
            if slot.largest is not None:
                by_table = self._storage.by_table
                encode(value, slot.stored, slot.largest, signed=slot.signed, by_table=by_table)

    def _average(self, param: Tensor, average: Tensor, t: int, numbers: Numbers) -> None:
        now = self._rule.scalars(t, numbers, self._flags)
        average.copy_(torch.lerp(param.to(average.dtype), average, now["average_momentum"]))
        if now["overwrite"]:
            param.copy_(average)


@lru_cache(maxsize=1024)
def _rounded(number: float, dtype: torch.dtype) -> float:
    """Return *number*, rounded to *dtype*."""
    return float(torch.tensor(number, dtype=dtype))


def wide_dtype(param: Tensor) -> torch.dtype:
    """Return the dtype to compute updates of *param* in: float64 for float64, else float32."""
    return torch.float64 if param.dtype == torch.float64 else torch.float32
