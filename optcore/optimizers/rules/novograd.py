"""NovoGrad: one mean square per tensor, and a momentum of the normalized gradients."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.adam import BETAS
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros


def novograd(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    norm_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    weight_decay: float,
    later: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *norm_sq* after one NovoGrad update.

    Writing m for exp_avg and v for norm_sq, which is one number::

        v     = beta2 * v + (1 - beta2) * norm(grad) ** 2        norm(grad) ** 2 in the first update
        m     = beta1 * m + grad / (sqrt(v + eps_root) + eps) + weight_decay * param
        param = param - lr * m

    Args:
        param: any shape and float dtype; overwritten.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step; overwritten.
        norm_sq: no dimensions.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old norm_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: keeps norm_sq away from 0 under the root.
        weight_decay: coefficient of param in the step.
        later: 0 in the first update, 1 later.

    References:
        Ginsburg et al., Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training
        of Deep Networks, 2019, Algorithm 1. https://arxiv.org/abs/1905.11286
    """
    square = torch.linalg.vector_norm(grad).square()
    norm_sq = torch.lerp(square, norm_sq, beta2) if later else square
    # In place: a rule that is not traced would hold further copies of a large tensor.
    exp_avg.mul_(beta1).addcdiv_(grad, (norm_sq + eps_root).sqrt() + eps)
    if weight_decay:
        exp_avg.add_(param, alpha=weight_decay)
    return param.add_(exp_avg, alpha=-lr), exp_avg, norm_sq


def _shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    return {"exp_avg": tuple(shape), "norm_sq": ()}


def _later(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"later": float(t > 1)}


NOVOGRAD = Rule(
    "novograd",
    novograd,
    slots=zeros("exp_avg", "norm_sq"),
    scalars=_later,
    shapes=_shapes,
    own_decay=True,
    torch_hyperparameters=BETAS,
)
