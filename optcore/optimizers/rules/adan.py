"""Adan: Nesterov's momentum, computed from a running mean of gradient differences."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import corrections
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, agreement, zeros


def adan(
    param: Tensor,
    grad: Tensor,
    *slots: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    beta3: float,
    eps: float,
    eps_root: float,
    diff_share: float,
    correction1: float,
    correction2: float,
    correction3: float,
    later: float,
    weight_decay: float,
    mask_scale: float,
    cautious: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param* and *slots* after one Adan update.

    Writing m for exp_avg, v for exp_avg_diff and n for exp_avg_sq::

        d     = grad - previous_grad                 0 in the first update
        m     = beta1 * m + (1 - beta1) * grad
        v     = beta2 * v + (1 - beta2) * d
        n     = beta3 * n + (1 - beta3) * (grad + diff_share * d) ** 2
        u     = m / correction1 + diff_share * v / correction2
        param = param - lr * u / (sqrt(n / correction3 + eps_root) + eps)
        param = param / (1 + lr * weight_decay)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        slots: exp_avg, exp_avg_diff, exp_avg_sq and previous_grad, each in the shape of *param*;
            zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_diff that is kept, in [0, 1).
        beta3: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: keeps the mean square away from 0.
        diff_share: factor of d in n, and of v in u. It is beta2 in timm and in the paper (whose own
            beta2 is 1 minus this beta2), and 1 - beta2 in optax.
        correction1: 1 - beta1 ** t.
        correction2: 1 - beta2 ** t.
        correction3: 1 - beta3 ** t.
        later: 0 in the first update, 1 later.
        weight_decay: proximal weight decay, applied after the step.
        mask_scale: 1 / (share of the coordinates where the mask is 1).
        cautious: whether u contains m * mask * mask_scale in place of m. The mask is 1 where m and
            the gradient have the same sign, else 0.

    References:
        Xie et al., Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models,
        2022, Algorithm 1 (its betas are 1 minus these betas). https://arxiv.org/abs/2208.06677
    """
    exp_avg, exp_avg_diff, exp_avg_sq, previous_grad = slots
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    looking_ahead = grad
    exp_avg_diff = exp_avg_diff * beta2
    if later:
        difference = grad - previous_grad
        exp_avg_diff = torch.add(exp_avg_diff, difference, alpha=1 - beta2)
        looking_ahead = torch.add(grad, difference, alpha=diff_share)
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta3, looking_ahead, looking_ahead, value=1 - beta3)
    square = exp_avg_sq / correction3
    denominator = (square + eps_root if eps_root else square).sqrt() + eps
    mean = exp_avg * agreement(exp_avg, grad) * mask_scale if cautious else exp_avg
    param = torch.addcdiv(param, mean, denominator, value=-lr / correction1)
    step = -lr * diff_share / correction2
    param = torch.addcdiv(param, exp_avg_diff, denominator, value=step)
    if weight_decay:
        param = param / (1 + lr * weight_decay)
    # A separate result: the memory of grad belongs to autograd.
    return param, exp_avg, exp_avg_diff, exp_avg_sq, grad * 1


def _mask(param: Tensor, grad: Tensor, *slots: Tensor, beta1: float, **given: float) -> Tensor:
    return agreement(torch.lerp(grad, slots[0], beta1), grad)


def _scalars(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {
        **corrections(t, numbers, flags),
        "correction3": 1 - numbers["beta3"] ** t,
        "diff_share": numbers["beta2"] if flags["beta2_share"] else 1 - numbers["beta2"],
        "later": float(t > 1),
    }


ADAN = Rule(
    "adan",
    adan,
    slots=zeros("exp_avg", "exp_avg_diff", "exp_avg_sq", "previous_grad"),
    scalars=_scalars,
    masks=_mask,
    own_caution=True,
    own_decay=True,
    torch_hyperparameters={"betas": ("beta1", "beta2", "beta3")},
)
