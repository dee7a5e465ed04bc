"""Yogi: Adam whose mean square moves towards each squared gradient in steps of limited size."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, corrections
from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def yogi(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
    correction2: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one Yogi update.

    Writing m for exp_avg and v for exp_avg_sq::

        m     = beta1 * m + (1 - beta1) * grad
        v     = v - (1 - beta2) * sign(v - grad * grad) * grad * grad
        param = param - lr * (m / correction1) / (sqrt(v / correction2) + eps)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; initial_accumulator_value before the first step.
        exp_avg_sq: same shape as *param*; initial_accumulator_value before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: exp_avg_sq changes by (1 - beta2) * grad * grad at most; in [0, 1).
        eps: keeps the denominator away from 0.
        correction1: 1 - beta1 ** t.
        correction2: 1 - beta2 ** t.

    References:
        Zaheer et al., Adaptive Methods for Nonconvex Optimization, 2018, Algorithm 2.
        https://proceedings.neurips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    square = grad * grad
    direction = (exp_avg_sq - square).sign()
    exp_avg_sq = torch.addcmul(exp_avg_sq, direction, square, value=beta2 - 1)
    denominator = (exp_avg_sq / correction2).sqrt() + eps
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr / correction1)
    return param, exp_avg, exp_avg_sq


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return dict.fromkeys(("exp_avg", "exp_avg_sq"), numbers["initial_accumulator_value"])


YOGI = Rule("yogi", yogi, slots=_slots, scalars=corrections, torch_hyperparameters=BETAS)
