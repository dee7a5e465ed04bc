"""AdEMAMix: Adam with a second, much slower mean of the gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, corrections
from optcore.optimizers.rules.rule import Rule, zeros


def ademamix(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_slow: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    beta3: float,
    alpha: float,
    eps: float,
    eps_root: float,
    correction1: float,
    correction2: float,
) -> tuple[Tensor, ...]:
    """
    Return *param* and the three slots after one AdEMAMix update.

    Writing m for exp_avg, s for exp_avg_slow and v for exp_avg_sq::

        m     = beta1 * m + (1 - beta1) * grad
        s     = beta3 * s + (1 - beta3) * grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        u     = (m / correction1 + alpha * s) / (sqrt(v / correction2 + eps_root) + eps)
        param = param - lr * u

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_slow: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        beta3: share of the old exp_avg_slow that is kept, in [0, 1).
        alpha: weight of exp_avg_slow, which is not corrected for starting at 0.
        eps: keeps the denominator away from 0.
        eps_root: keeps the mean square away from 0.
        correction1: 1 - beta1 ** t.
        correction2: 1 - beta2 ** t.

    References:
        Pagliardini, Ablin and Grangier, The AdEMAMix Optimizer: Better, Faster, Older, 2024,
        Algorithm 1. https://arxiv.org/abs/2409.03137
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    exp_avg_slow = torch.lerp(grad, exp_avg_slow, beta3)
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    square = exp_avg_sq / correction2
    denominator = (square + eps_root if eps_root else square).sqrt() + eps
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr / correction1)
    if alpha:
        param = torch.addcdiv(param, exp_avg_slow, denominator, value=-lr * alpha)
    return param, exp_avg, exp_avg_slow, exp_avg_sq


def simplified_ademamix(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    alpha: float,
    eps: float,
    eps_root: float,
    correction2: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one simplified AdEMAMix update.

    Writing m for exp_avg and v for exp_avg_sq::

        m     = beta1 * m + grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        param = param - lr * (m + alpha * grad) / (sqrt(v / correction2 + eps_root) + eps)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        alpha: weight of the current gradient, which is added to m.
        eps: keeps the denominator away from 0.
        eps_root: keeps the mean square away from 0.
        correction2: 1 - beta2 ** t.

    References:
        Morwani et al., Connections between Schedule-Free Optimizers, AdEMAMix, and Accelerated SGD
        Variants, 2025. https://arxiv.org/abs/2502.02431
    """
    exp_avg = exp_avg * beta1 + grad
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    square = exp_avg_sq / correction2
    denominator = (square + eps_root if eps_root else square).sqrt() + eps
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr)
    if alpha:
        param = torch.addcdiv(param, grad, denominator, value=-lr * alpha)
    return param, exp_avg, exp_avg_sq


ADEMAMIX = Rule(
    "ademamix",
    ademamix,
    slots=zeros("exp_avg", "exp_avg_slow", "exp_avg_sq"),
    scalars=corrections,
    torch_hyperparameters={"betas": ("beta1", "beta2", "beta3")},
)
SIMPLIFIED_ADEMAMIX = Rule(
    "simplified_ademamix",
    simplified_ademamix,
    slots=zeros("exp_avg", "exp_avg_sq"),
    scalars=corrections,
    torch_hyperparameters=BETAS,
)
