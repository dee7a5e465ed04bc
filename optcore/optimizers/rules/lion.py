"""Lion: a step of the same size in every coordinate, against the sign of a mean gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Rule, zeros


def lion(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    as_lerp: bool,
    as_products: bool,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *exp_avg* after one Lion update.

    Writing m for exp_avg::

        param = param - lr * sign(beta1 * m + (1 - beta1) * grad)
        m     = beta2 * m + (1 - beta2) * grad

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        lr: size of the step in every coordinate.
        beta1: share of the old mean in the direction of the step, in [0, 1).
        beta2: share of the old mean that is kept, in [0, 1).
        as_lerp: whether the means are computed as grad + beta * (m - grad), as in timm.
        as_products: whether both products in a mean are rounded before they are added, as in
            mindcv. If both flags are false, only the first product is rounded.

    References:
        Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, Algorithm 2.
        https://arxiv.org/abs/2302.06675
    """
    # Where the terms nearly cancel, rounding decides the sign, and with it a whole step, so the sum
    # is computed as each framework writes it.
    if as_lerp:
        direction = torch.lerp(grad, exp_avg, beta1).sign()
        return torch.add(param, direction, alpha=-lr), torch.lerp(grad, exp_avg, beta2)
    if as_products:
        direction = (exp_avg * beta1 + grad * (1 - beta1)).sign()
        mean = exp_avg * beta2 + grad * (1 - beta2)
        return torch.add(param, direction, alpha=-lr), mean
    direction = torch.add(exp_avg * beta1, grad, alpha=1 - beta1).sign()
    return torch.add(param, direction, alpha=-lr), torch.add(exp_avg * beta2, grad, alpha=1 - beta2)


LION = Rule("lion", lion, slots=zeros("exp_avg"))
