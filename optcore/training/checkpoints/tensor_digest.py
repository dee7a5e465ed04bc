"""A digest over all tensors of a run. Tensors with equal digests are equal bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest(tensors: Mapping[str, Tensor]) -> str:
    """
    Return the SHA-256 over the names, dtypes, shapes and values of *tensors*, in order of name.

    Args:
        tensors: name -> tensor. The digest does not depend on the strides of a tensor.
    """
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
