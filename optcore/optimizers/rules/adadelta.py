"""Adadelta: RMSprop whose step has the unit of the parameter."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Rule, zeros


def adadelta(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    acc_delta: Tensor,
    *,
    lr: float,
    rho: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *square_avg* and *acc_delta* after one Adadelta update.

    Writing h for square_avg and d for acc_delta::

        h     = rho * h + (1 - rho) * grad * grad
        u     = grad * sqrt(d + eps) / sqrt(h + eps)
        d     = rho * d + (1 - rho) * u * u
        param = param - lr * u

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        square_avg: same shape as *param*; zeros before the first step.
        acc_delta: same shape as *param*; zeros before the first step.
        lr: learning rate; 1 in the paper.
        rho: share of the old mean squares that is kept, in [0, 1].
        eps: keeps both roots away from 0.

    References:
        Zeiler, ADADELTA: An Adaptive Learning Rate Method, 2012, Algorithm 1.
        https://arxiv.org/abs/1212.5701
    """
    square_avg = torch.addcmul(square_avg * rho, grad, grad, value=1 - rho)
    step = (acc_delta + eps).sqrt() / (square_avg + eps).sqrt() * grad
    acc_delta = torch.addcmul(acc_delta * rho, step, step, value=1 - rho)
    return torch.add(param, step, alpha=-lr), square_avg, acc_delta


ADADELTA = Rule("adadelta", adadelta, slots=zeros("square_avg", "acc_delta"))
