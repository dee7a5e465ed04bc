"""MADGRAD: dual averaging with a cube root, and momentum towards its solution."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import COPY, Flags, Numbers, Rule
from optcore.spec.optimizers.rounded import float32


def madgrad(
    param: Tensor,
    grad: Tensor,
    grad_sum_sq: Tensor,
    s: Tensor,
    x0: Tensor,
    *,
    momentum: float,
    eps: float,
    gain: float,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *grad_sum_sq*, *s* and *x0* after one MADGRAD update.

    Writing v for grad_sum_sq::

        v     = v + gain * grad * grad
        s     = s + gain * grad
        z     = x0 - s / (cbrt(v) + eps)
        param = momentum * param + (1 - momentum) * z

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        grad_sum_sq: same shape as *param*; zeros before the first step.
        s: same shape as *param*; zeros before the first step.
        x0: the parameter before the first step.
        momentum: share of the old parameter that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        gain: (lr + eps) * sqrt(t).

    References:
        Defazio and Jelassi, Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged
        Gradient Method for Stochastic Optimization, 2021, Algorithm 1.
        https://arxiv.org/abs/2101.11075
    """
    grad_sum_sq = torch.addcmul(grad_sum_sq, grad, grad, value=gain)
    s = torch.add(s, grad, alpha=gain)
    z = torch.addcdiv(x0, s, grad_sum_sq.pow(1 / 3) + eps, value=-1)
    return torch.lerp(z, param, momentum), grad_sum_sq, s, x0


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"grad_sum_sq": 0.0, "s": 0.0, "x0": COPY}


def _gain(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    lr = numbers["lr"] + numbers["eps"]
    if flags["float32_gain"]:
        return {"gain": float32(float32(lr) * float32(t**0.5))}
    return {"gain": lr * t**0.5}


MADGRAD = Rule("madgrad", madgrad, slots=_slots, scalars=_gain)
