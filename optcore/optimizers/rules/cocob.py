"""COCOB: no learning rate; each coordinate bets a share of what it has won on its next step."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import COPY, Flags, Numbers, Rule


def cocob(
    param: Tensor,
    grad: Tensor,
    *slots: Tensor,
    lr: float,
    alpha: float,
) -> tuple[Tensor, ...]:
    """
    Return *param* and *slots* after one COCOB update.

    Writing L for largest, S for grad_sum, A for abs_sum and R for reward::

        g     = lr * grad
        L     = max(L, |g|)
        A     = A + |g|
        R     = max(R - g * (param - x0), 0)
        S     = S - g
        param = x0 + S / (L * max(A + L, alpha * L)) * (L + R)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        slots: x0, largest, grad_sum, abs_sum and reward, each in the shape of *param*. Before the
            first step x0 is a copy of *param*, largest is initial_scale, the others are zeros.
        lr: factor that the gradient is multiplied by.
        alpha: keeps the first steps small: the divisor contains at least alpha * L.

    References:
        Orabona and Tommasi, Training Deep Networks without Learning Rates Through Coin Betting,
        2017, Algorithm 2. https://arxiv.org/abs/1705.07795
    """
    x0, largest, grad_sum, abs_sum, reward = slots
    grad = grad * lr
    size = grad.abs()
    largest = torch.maximum(largest, size)
    abs_sum = abs_sum + size
    reward = torch.addcmul(reward, grad, param - x0, value=-1).clamp(min=0)
    grad_sum = grad_sum - grad
    bet = grad_sum / (largest * torch.maximum(abs_sum + largest, largest * alpha))
    param = torch.addcmul(x0, bet, largest + reward)
    return param, x0, largest, grad_sum, abs_sum, reward


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {
        "x0": COPY,
        "largest": numbers["initial_scale"],
        "grad_sum": 0.0,
        "abs_sum": 0.0,
        "reward": 0.0,
    }


COCOB = Rule("cocob", cocob, slots=_slots)
