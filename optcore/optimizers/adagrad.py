"""AdaGrad: a step size per coordinate that shrinks with the gradients seen so far."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rule import Flags, Numbers, Rule


def adagrad(
    param: Tensor,
    grad: Tensor,
    sum: Tensor,
    *,
    lr: float,
    eps: float,
    shrink: float,
    weight_decay: float,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *sum* after one AdaGrad update.

    ::

        grad  = grad + weight_decay * param
        sum   = sum + grad * grad
        param = param - lr / shrink * grad / (sqrt(sum) + eps)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        sum: same shape as *param*; initial_accumulator_value before the first step.
        lr: learning rate.
        eps: added to the root.
        shrink: 1 + (t - 1) * lr_decay (torch).
        weight_decay: L2 regularization, added to the gradient.

    References:
        Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011, Figure 1.
        https://jmlr.org/papers/v12/duchi11a.html
    """
    if weight_decay:
        grad = torch.add(grad, param, alpha=weight_decay)
    sum = torch.addcmul(sum, grad, grad)
    return torch.addcdiv(param, grad, sum.sqrt() + eps, value=-lr / shrink), sum


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    del flags
    return {"sum": numbers["initial_accumulator_value"]}


def _shrink(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    del flags
    return {"shrink": 1.0 + (t - 1) * numbers["lr_decay"]}


def _fused(
    params: list[Tensor],
    grads: list[Tensor],
    slots: list[list[Tensor]],
    t: int,
    numbers: Numbers,
) -> None:
    # The kernel computes shrink itself, from a step counter that starts at 1.
    steps = torch.full((), float(t), device=params[0].device)
    torch._fused_adagrad_(
        params,
        grads,
        slots[0],
        [steps] * len(params),
        lr=numbers["lr"],
        lr_decay=numbers["lr_decay"],
        weight_decay=numbers["weight_decay"],
        eps=numbers["eps"],
        maximize=False,
    )


ADAGRAD = Rule(adagrad, slots=_slots, scalars=_shrink, fused=_fused, takes_sparse=True)
