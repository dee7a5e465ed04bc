"""AdaGrad: the step in a coordinate shrinks with the squared gradients seen so far."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule, unscale


def adagrad(
    param: Tensor,
    grad: Tensor,
    sum: Tensor,
    *,
    lr: float,
    eps: float,
    shrink: float,
    eps_inside: bool,
    update_slots: bool,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *sum* after one AdaGrad update.

    ::

        sum   = sum + grad * grad
        param = param - lr / shrink * grad / (sqrt(sum) + eps)
                param - lr / shrink * grad / sqrt(sum + eps)         if eps_inside

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        sum: same shape as *param*; initial_accumulator_value before the first step.
        lr: learning rate.
        eps: keeps the denominator away from 0.
        shrink: 1 + (t - 1) * lr_decay (torch).
        eps_inside: whether eps is added under the root (Keras) or to the root.
        update_slots: whether *sum* is updated (a switch in MindSpore).

    References:
        Duchi, Hazan and Singer, Adaptive Subgradient Methods, 2011, Figure 1.
        https://jmlr.org/papers/v12/duchi11a.html
    """
    if update_slots:
        sum = torch.addcmul(sum, grad, grad)
    root = (sum + eps).sqrt() if eps_inside else sum.sqrt() + eps
    return torch.addcdiv(param, grad, root, value=-lr / shrink), sum


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"sum": numbers["initial_accumulator_value"]}


def _shrink(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
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
        grad_scale=unscale(numbers, params[0]),
    )


ADAGRAD = Rule(
    "adagrad",
    adagrad,
    slots=_slots,
    scalars=_shrink,
    fused=_fused,
    fused_flags={"update_slots": True},  # the kernel always adds the square
    takes_sparse=True,
)
