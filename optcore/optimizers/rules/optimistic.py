"""Optimistic gradient descent: the last gradient predicts the next one."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros


def optimistic_gradient_descent(
    param: Tensor,
    grad: Tensor,
    previous_grad: Tensor,
    *,
    lr: float,
    alpha: float,
    beta: float,
    later: float,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *previous_grad* after one step of optimistic gradient descent.

    ::

        param = param - lr * ((alpha + beta) * grad - beta * previous_grad)

    In the first update previous_grad is grad.

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        previous_grad: the gradient of the previous update.
        lr: learning rate.
        alpha: weight of the gradient.
        beta: weight of the difference between the gradient and the previous gradient.
        later: 0 in the first update, 1 later.

    References:
        Mokhtari, Ozdaglar and Pattathil, A Unified Analysis of Extra-gradient and Optimistic
        Gradient Methods for Saddle Point Problems, 2020. https://arxiv.org/abs/1901.08511
    """
    if later and beta:
        param = torch.add(param, previous_grad, alpha=lr * beta)
        param = torch.add(param, grad, alpha=-lr * (alpha + beta))
    else:
        param = torch.add(param, grad, alpha=-lr * alpha)
    # A separate result: the memory of grad belongs to autograd.
    return param, grad * 1


def _later(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"later": float(t > 1)}


OPTIMISTIC_GRADIENT_DESCENT = Rule(
    "optimistic_gradient_descent",
    optimistic_gradient_descent,
    slots=zeros("previous_grad"),
    scalars=_later,
)
