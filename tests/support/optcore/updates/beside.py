"""Parameters updated alone and beside others, with gradients that depend on their names alone."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tests.support.optcore.updates.optimizer_specs import made

PREFIX = 512
Shapes = Mapping[str, tuple[int, ...]]
"""Parameter name -> shape, in the order of the model."""


def updated(
    spec: Mapping[str, Any],
    shapes: Shapes,
    *,
    dtype: torch.dtype = torch.float32,
    steps: int = 3,
    still: Mapping[int, Collection[str]] | None = None,
) -> dict[str, list[Tensor]]:
    """
    Return parameter name -> the parameter and its slots after *steps* updates.

    Args:
        spec: the optimizer.
        shapes: the parameters.
        dtype: the dtype of the parameters.
        steps: the number of updates.
        still: number of an update, from 0 -> names of the parameters without a gradient in it.
    """
    params = {name: _random(name, shape, dtype) for name, shape in shapes.items()}
    for param in params.values():
        param.requires_grad = True
    optimizer = made(params.items(), spec)
    for step in range(steps):
        for name, param in params.items():
            absent = name in (still or {}).get(step, ())
            param.grad = None if absent else _random(f"{name} {step}", param.shape, dtype)
        optimizer.step()
    slots = sorted(optimizer.named_slots().items())  # in another order beside other parameters
    return {
        name: [param.detach(), *(of[name] for _, of in slots if name in of)]
        for name, param in params.items()
    }


def _random(name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """
    Return normally distributed values that are the same for each call with the same *name*.

    Of two tensors with at most `PREFIX` elements, the shorter has the first values of the longer.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    size = math.prod(shape)
    # In double, since torch draws other values for other dtypes (and for less than 16 elements).
    values = torch.randn(max(size, PREFIX), generator=generator, dtype=torch.float64)
    return values[:size].reshape(tuple(shape)).to(dtype)
