"""Other values for parameters, for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def swapped(pairs: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Give tensors other values inside a ``with`` block; *pairs* are (tensor, its other value)."""
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
