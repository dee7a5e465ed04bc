"""The factor that unscales gradients and clips them by their global norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

TORCH_EPS = 1e-6
"""The constant that torch's clip_grad_norm_ adds to the norm."""


@dataclass(frozen=True)
class GradScale:
    """
    The loss scale, and the limit on the global norm, for the gradients in a parameter group.

    Groups with equal `GradScale` share one norm, which is taken over the gradients of all of them.

    Attributes:
        loss_scale: the factor that the gradients have been multiplied by.
        largest: the largest allowed norm of the unscaled gradients; 0 for no limit.
        like_torch: whether `factor` uses torch's formula.
        scope: a name that tells otherwise equal scales apart, so that their groups share no norm.
    """

    loss_scale: float = 1.0
    largest: float = 0.0
    like_torch: bool = False
    scope: str = ""

    def factor(self, params: Sequence[Tensor]) -> float:
        """
        Return the factor to multiply the gradients of *params* by.

        ::

            torch      min(1, largest / (norm + 1e-6)) / loss_scale
            elsewhere  largest / max(norm, largest) / loss_scale

        norm is the global norm of the unscaled gradients. Without a limit, the factor is
        1 / loss_scale.
        """
        if not self.largest:
            return 1 / self.loss_scale
        # The norm is divided, not the gradients: a rule multiplies the gradients by one factor as
        # it reads them, which saves a pass over memory for unscaling and another for clipping.
        norm = global_norm(params) / self.loss_scale
        if self.like_torch:
            clipped = min(1.0, self.largest / (norm + TORCH_EPS))
        else:
            clipped = self.largest / max(norm, self.largest)
        return clipped / self.loss_scale


class GradScales:
    """The `GradScale` of every parameter group."""

    def __init__(self, scales: Sequence[GradScale]) -> None:
        self._members: dict[GradScale, list[int]] = {}
        for i, scale in enumerate(scales):
            self._members.setdefault(scale, []).append(i)
        self._num_groups = len(scales)

    @property
    def loss_scale(self) -> float:
        """The factor that all gradients have been multiplied by."""
        return next(iter(self._members)).loss_scale

    @loss_scale.setter
    def loss_scale(self, scale: float) -> None:
        # All groups have one loss scale (`NOT_PER_GROUP`), so no two entries become equal here.
        self._members = {
            replace(one, loss_scale=scale): members for one, members in self._members.items()
        }

    def add_like_the_first(self) -> None:
        """Add a group that is scaled as the first group is, and clipped together with it."""
        next(iter(self._members.values())).append(self._num_groups)
        self._num_groups += 1

    def factors(self, groups: Sequence[Mapping[str, Any]]) -> list[float]:
        """Return the factor to multiply the gradients by, for each group in *groups*."""
        factors = [0.0] * self._num_groups
        for scale, members in self._members.items():
            params = [p for i in members for p in groups[i]["params"]] if scale.largest else ()
            factor = scale.factor(params)
            for i in members:
                factors[i] = factor
        return factors


def global_norm(params: Sequence[Tensor]) -> float:
    """Return the norm of the gradients of all *params* together; 0 if there are no gradients."""
    # Coalesced: rows that occur twice must be added before they are squared.
    grads = [
        param.grad.coalesce().values() if param.grad.is_sparse else param.grad
        for param in params
        if param.grad is not None
    ]
    if not grads:
        return 0.0
    # torch.stack takes tensors on one device, and so the CPU waits only once for each device.
    by_device: dict[torch.device, list[Tensor]] = {}
    for grad in grads:
        by_device.setdefault(grad.device, []).append(grad)
    # In double: the squares of float32 norms may overflow.
    norms = [
        torch.stack([norm.double() for norm in norms_of(same)]).norm().cpu()
        for same in by_device.values()
    ]
    return float(torch.stack(norms).norm())


def norms_of(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the norms of *tensors*, in any order. The norms are float32 or wider."""
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.dtype, []).append(tensor)
    return [
        norm
        for same in by_dtype.values()
        for norm in torch._foreach_norm(same, 2, dtype=wide_dtype(same[0]))
    ]


def wide_dtype(tensor: Tensor) -> torch.dtype | None:
    """Return the dtype to compute a norm of *tensor* in; None if *tensor* is float32 or wider."""
    # A norm in float16 is infinite above 65,504, while every element may be far below.
    return torch.float32 if tensor.dtype.itemsize < torch.float32.itemsize else None
