"""Modules of normalization."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.normalization import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    RmsNorm,
    normalized_shape,
)

BATCH = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d)
"""torch's classes for vectors, signals and images."""
INSTANCE = (nn.InstanceNorm1d, nn.InstanceNorm2d)
"""torch's classes for signals and images."""


class PaddleBatchNorm(nn.BatchNorm2d):
    """
    Normalise over the batch as Paddle does, for inputs of any number of dimensions.

    ::

        running = decay * running + (1 - decay) * batch       decay = float32(momentum)

    where running is the running mean or variance, and batch is the mean or variance of the batch.
    The variance is the biased one, whereas torch's module stores the unbiased one. eps is rounded
    to float32.

    Paddle's momentum, in this formula, is 1 - momentum of torch's module.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return *input* normalised; in training, update the running statistics."""
        if not self.training:
            return F.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        # With momentum 1, torch stores the mean and the variance of the batch alone. Computing them
        # here would read the input once more.
        mean, var = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        output = F.batch_norm(
            input, mean, var, self.weight, self.bias, training=True, momentum=1.0, eps=self.eps
        )
        count = input.numel() // input.shape[1]
        with torch.no_grad():
            decay = float(np.float32(1 - self.momentum))
            # torch stores the unbiased variance, whose divisor is count - 1.
            biased = var * ((count - 1) / count)
            self.running_mean.mul_(decay).add_(mean, alpha=1 - decay)
            self.running_var.mul_(decay).add_(biased, alpha=1 - decay)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return output


def batch_norm(layer: BatchNorm, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    options: dict[str, Any] = {"affine": layer.affine}
    if layer.dialect == "paddle":
        options |= {"momentum": 1 - layer.momentum, "eps": float(np.float32(layer.eps))}
        return PaddleBatchNorm(given.shape[0], **options)
    options |= {"momentum": layer.momentum, "eps": layer.eps}
    return BATCH[len(given.shape) - 1](given.shape[0], **options)


def layer_norm(layer: LayerNorm, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*."""
    return nn.LayerNorm(normalized_shape(given), eps=layer.eps, bias=layer.bias)


def rms_norm(layer: RmsNorm, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*."""
    return nn.RMSNorm(normalized_shape(given), eps=layer.eps)


def group_norm(layer: GroupNorm, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*."""
    return nn.GroupNorm(layer.num_groups, given.shape[0], eps=layer.eps)


def instance_norm(layer: InstanceNorm, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*."""
    norm = INSTANCE[len(given.shape) - 2]
    return norm(given.shape[0], eps=layer.eps, affine=layer.affine)
