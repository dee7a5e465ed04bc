"""The factor that all gradients are multiplied by: unscaled, and clipped by their global norm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TORCH_EPS = 1e-6
"""What torch's clip_grad_norm_ adds to the norm."""


@dataclass(frozen=True)
class GradScale:
    """
    How gradients are scaled before anything else.

    Attributes:
        loss_scale: what they come multiplied by.
        largest: their largest norm, all together; 0 for no limit.
        like_torch: whether the limit is torch's formula.
        per_group: whether each group of parameters is limited by itself.
    """

    loss_scale: float = 1.0
    largest: float = 0.0
    like_torch: bool = False
    per_group: bool = False

    def factor(self, params: Sequence[Tensor]) -> float:
        """
        Return what to multiply the gradients of *params* by.

        ::

            torch      min(1, largest / (norm + 1e-6)) / loss_scale
            elsewhere  largest / max(norm, largest) / loss_scale
        """
        if not self.largest:
            return 1 / self.loss_scale
        norm = global_norm(params) / self.loss_scale
        if self.like_torch:
            clipped = min(1.0, self.largest / (norm + TORCH_EPS))
        else:
            clipped = self.largest / max(norm, self.largest)
        return clipped / self.loss_scale


def global_norm(params: Sequence[Tensor]) -> float:
    """Return the norm of all gradients of *params* together; 0 if there is none."""
    grads = [
        param.grad.coalesce().values() if param.grad.is_sparse else param.grad
        for param in params
        if param.grad is not None
    ]
    if not grads:
        return 0.0
    by_device: dict[torch.device, list[Tensor]] = {}
    for grad in grads:
        by_device.setdefault(grad.device, []).append(grad)
    norms = [
        torch.stack([norm.double() for norm in torch._foreach_norm(same)]).norm().cpu()
        for same in by_device.values()
    ]
    return float(torch.stack(norms).norm())
