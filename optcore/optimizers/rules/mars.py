"""MARS: Adam or Lion on gradients to which a multiple of their last change is added."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, corrections
from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def mars(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    last_grad: Tensor,
    *others: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
    correction2: float,
    change: float,
    shrink: float,
    as_lion: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *exp_avg*, *last_grad* and *others* after one MARS update.

    Writing m for exp_avg and v for the slot in *others*::

        c     = shrink * (grad + change * (grad - last_grad))
        m     = beta1 * m + (1 - beta1) * c
        v     = beta2 * v + (1 - beta2) * c * c
        param = param - lr * (m / correction1) / (sqrt(v / correction2) + eps)
                param - lr * sign(m)                                    as_lion, without v

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        last_grad: the gradient of the previous update; zeros before the first step.
        others: exp_avg_sq unless *as_lion*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        correction1: 1 - beta1 ** t.
        correction2: 1 - beta2 ** t.
        change: gamma * beta1 / (1 - beta1); 0 at the first update, which has no last_grad.
        shrink: 1 / max(1, norm). norm is the norm of grad + change * (grad - last_grad) over the
            whole tensor.
        as_lion: whether the step is the sign of m.

    References:
        Yuan et al., MARS: Unleashing the Power of Variance Reduction for Training Large Models,
        2024, Algorithms 2 and 3. https://arxiv.org/abs/2411.10438
    """
    corrected = _corrected(grad, last_grad, change) * shrink
    exp_avg = torch.add(exp_avg * beta1, corrected, alpha=1 - beta1)
    # A separate result: the memory of grad belongs to autograd.
    last = grad * 1
    if as_lion:
        return torch.add(param, exp_avg.sign(), alpha=-lr), exp_avg, last
    exp_avg_sq = torch.addcmul(others[0] * beta2, corrected, corrected, value=1 - beta2)
    denominator = (exp_avg_sq / correction2).sqrt() + eps
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr / correction1)
    return param, exp_avg, last, exp_avg_sq


def _corrected(grad: Tensor, last_grad: Tensor, change: float) -> Tensor:
    # The first update has a separate program, since change is exactly 0.
    return torch.add(grad, grad - last_grad, alpha=change) if change else grad


def _norms(
    param: Tensor, grad: Tensor, exp_avg: Tensor, last_grad: Tensor, *others: Tensor, **given: float
) -> tuple[Tensor]:
    return (_corrected(grad, last_grad, given["change"]),)


def _shrink(norms: list[float], numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"shrink": 1 / max(1.0, norms[0])}


def _scalars(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    beta1 = numbers["beta1"]
    change = numbers["gamma"] * beta1 / (1 - beta1) if t > 1 else 0.0
    return {**corrections(t, numbers, flags), "change": change}


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    slots = {"exp_avg": 0.0, "last_grad": 0.0}
    return slots if flags["as_lion"] else {**slots, "exp_avg_sq": 0.0}


MARS = Rule(
    "mars",
    mars,
    slots=_slots,
    scalars=_scalars,
    norms=_norms,
    ratios=_shrink,
    torch_hyperparameters=BETAS,
)
