"""Temporary values for parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def swapped(pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Give each tensor the value that it is paired with, until the end of the ``with`` block."""
    before: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for tensor, value in pairs:
            before.append((tensor, tensor.detach().clone()))
            tensor.copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in before:
                tensor.copy_(value)
