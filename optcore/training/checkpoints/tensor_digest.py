"""A digest over all tensors of a run. Tensors with equal digests are equal bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest(tensors: Mapping[str, Tensor]) -> str:
    """
    Return the SHA-256 over names, dtypes, shapes and bytes of *tensors*, in order of name.

    Args:
        tensors: name -> tensor, of any shape, dtype and layout. The digest does not depend on the
            layout.
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
