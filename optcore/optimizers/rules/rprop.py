"""Rprop: a step size per coordinate, which depends on the sign of the gradient alone."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def rprop(
    param: Tensor,
    grad: Tensor,
    prev: Tensor,
    step_size: Tensor,
    *,
    eta_minus: float,
    eta_plus: float,
    step_min: float,
    step_max: float,
    first: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *prev* and *step_size* after one Rprop update.

    ::

        step_size = first                            in the first update
        agree     = sign(grad * prev)                1, -1 or 0
        factor    = eta_plus, eta_minus or 1         where agree is 1, -1 or 0, respectively
        step_size = clamp(step_size * factor, step_min, step_max)
        prev      = grad                             0 where agree is -1
        param     = param - step_size * sign(prev)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        prev: the previous gradient, 0 where its sign had changed; zeros before the first step.
        step_size: same shape as *param*; any number before the first step.
        eta_minus: factor where the sign changed, in (0, 1).
        eta_plus: factor where the sign stayed the same, above 1.
        step_min: smallest step size.
        step_max: largest step size.
        first: lr in the first update, 0 later.

    References:
        Riedmiller and Braun, A Direct Adaptive Method for Faster Backpropagation Learning: The
        RPROP Algorithm, 1993.
    """
    # Set here, not when the slot is made: schedules and torch's schedulers set lr only later.
    if first:
        step_size = step_size * 0 + first
    agree = (grad * prev).sign()
    changed = (-agree).clamp(min=0)  # 1 where the sign changed, else 0
    same = agree.clamp(min=0)
    # Exactly one of the three terms is not 0, so the sum is one factor. Here and below, 1 - x is
    # (x - 1) * -1: a program can run an operation in place only if its first operand is a tensor.
    factor = same * eta_plus + changed * eta_minus + (agree * agree - 1) * -1
    step_size = (step_size * factor).clamp(step_min, step_max)
    prev = grad * (changed - 1) * -1
    return torch.addcmul(param, prev.sign(), step_size, value=-1), prev, step_size


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"prev": 0.0, "step_size": numbers["lr"]}


def _first(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"first": numbers["lr"] if t == 1 else 0.0}


RPROP = Rule(
    "rprop",
    rprop,
    slots=_slots,
    scalars=_first,
    torch_hyperparameters={
        "etas": ("eta_minus", "eta_plus"),
        "step_sizes": ("step_min", "step_max"),
    },
)
