"""LaProp: momentum over gradients that have been normalized by their root mean square."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, agreement, zeros


def laprop(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: float,
    correction2: float,
    mask_scale: float,
    cautious: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one LaProp update.

    Writing v for exp_avg_sq and m for exp_avg::

        v     = beta2 * v + (1 - beta2) * grad * grad
        m     = beta1 * m + (1 - beta1) * lr * grad / (sqrt(v / correction2) + eps)
        n     = m                                         m * mask * mask_scale if cautious
        param = param - step * n
        param = param - lr * weight_decay * param

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        weight_decay: decoupled weight decay, applied after the step.
        step: lr / a, where a is the running mean of lr: a = beta1 * a + (1 - beta1) * lr, which is
            0 before the first update. If lr is constant, step is 1 / (1 - beta1 ** t).
        correction2: 1 - beta2 ** t.
        mask_scale: 1 / (share of the coordinates where the mask is 1).
        cautious: whether the step is multiplied by a mask. The mask is 1 where the step has the
            sign of the gradient, else 0.

    References:
        Ziyin, Wang and Ueda, LaProp: Separating Momentum and Adaptivity in Adam, 2020,
        Algorithm 1. https://arxiv.org/abs/2002.04839
        timm 1.0.31 (Algorithm 1 has no lr in m).
    """
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    denominator = (exp_avg_sq / correction2).sqrt() + eps
    exp_avg = torch.addcdiv(exp_avg * beta1, grad, denominator, value=lr * (1 - beta1))
    if cautious:
        param = torch.addcmul(param, exp_avg, agreement(exp_avg, grad), value=-step * mask_scale)
    else:
        param = torch.add(param, exp_avg, alpha=-step)
    if weight_decay:
        param = param * (1 - lr * weight_decay)
    return param, exp_avg, exp_avg_sq


def _mask(
    param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, **given: float
) -> Tensor:
    wanted = ("lr", "beta1", "beta2", "eps", "weight_decay", "step", "correction2")
    numbers = {name: given[name] for name in wanted}
    _, moved, _ = laprop(
        param, grad, exp_avg, exp_avg_sq, **numbers, mask_scale=1.0, cautious=False
    )
    return agreement(moved, grad)


def _means(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the means of lr and of the number 1 that correct the slots for starting at 0."""
    if t == 0:
        return {"exp_avg_lr_1": 0.0, "exp_avg_lr_2": 0.0}
    beta1, beta2 = numbers["beta1"], np.float32(numbers["beta2"])
    # timm keeps the second mean in float32, whatever the parameters are, and the first in double.
    second = np.float32(numbers["exp_avg_lr_2"]) * beta2 + np.float32(1 - numbers["beta2"])
    return {
        "exp_avg_lr_1": numbers["exp_avg_lr_1"] * beta1 + (1 - beta1) * numbers["lr"],
        "exp_avg_lr_2": float(second),
    }


def _scalars(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    means = _means(t, numbers, flags)
    of_lr = means["exp_avg_lr_1"]
    step = numbers["lr"] / of_lr if of_lr else 0.0
    return {"step": step, "correction2": means["exp_avg_lr_2"]}


LAPROP = Rule(
    "laprop",
    laprop,
    slots=zeros("exp_avg", "exp_avg_sq"),
    scalars=_scalars,
    carries=_means,
    carries_in=torch.float64,
    masks=_mask,
    own_caution=True,
    own_decay=True,
    torch_hyperparameters=BETAS,
)
