"""Runs a rule in place, through an engine, and as the pure function that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optcore.optimizers.engine.engines import Engine
from optcore.optimizers.engine.spans import Spans
from optcore.optimizers.rules.rule import Rule, zeros


def rule_of(update: Callable[..., tuple[Tensor, ...]], *slots: str, **parts: Any) -> Rule:
    """Return a rule with *update* and slots of these names."""
    return Rule("made_up", update, slots=zeros(*slots), **parts)


def tensors(count: int, dtype: torch.dtype = torch.float32, size: int = 37) -> list[Tensor]:
    """Return *count* tensors of random values, among them 0, -0, 1 and a negative value."""
    generator = torch.Generator().manual_seed(count)
    found = [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(count)]
    for i, tensor in enumerate(found):
        tensor[i : i + 4] = torch.tensor([0.0, -0.0, 1.0, -2.5])
    return [tensor.to(dtype) for tensor in found]


def in_place(
    engine: Engine, given: Sequence[Tensor], numbers: Mapping[str, float]
) -> tuple[list[Tensor], Tensor]:
    """Return parameter and slots after *engine* updated copies of *given*, and the gradient."""
    param, grad, *slots = [tensor.clone() for tensor in given]
    engine(Spans([param], [grad], [[slot] for slot in slots]), 1, numbers)
    return [param, *slots], grad


def pure(rule: Rule, given: Sequence[Tensor], numbers: Mapping[str, float]) -> list[Tensor]:
    """Return what the function of *rule* makes of copies of *given*."""
    return list(rule.update(*(tensor.clone() for tensor in given), **numbers))


def same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Return whether all bits are the same, those of 0 and -0 too; a NaN equals every NaN."""
    return all(
        a.dtype == b.dtype and bool(((_bits(a) == _bits(b)) | (a.isnan() & b.isnan())).all())
        for a, b in zip(ours, theirs, strict=True)
    )


def _bits(tensor: Tensor) -> Tensor:
    return tensor.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.dtype.itemsize])
