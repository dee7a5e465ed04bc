"""Adamax: Adam with the largest gradient in place of the mean square."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, rounded_betas
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros
from optcore.optimizers.rules.running_powers import RunningPowers


def adamax(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_inf: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    correction1: float,
    eps_on_gradient: bool,
    eps_on_maximum: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_inf* after one Adamax update.

    Writing m for exp_avg and u for exp_inf::

        m     = beta1 * m + (1 - beta1) * grad
        u     = max(beta2 * u, |grad|)
        param = param - lr / correction1 * m / (u + eps)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_inf: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_inf that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        correction1: 1 - beta1 ** t.
        eps_on_gradient: whether eps is added to |grad| instead of the new u (torch).
        eps_on_maximum: whether eps is added to beta2 * u instead of the new u (Paddle).

    References:
        Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, Algorithm 2.
        https://arxiv.org/abs/1412.6980
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    old, new = exp_inf * beta2, grad.abs()
    if eps_on_gradient:
        new = new + eps
    if eps_on_maximum:
        old = old + eps
    exp_inf = torch.maximum(old, new)
    denominator = exp_inf if eps_on_gradient or eps_on_maximum else exp_inf + eps
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr / correction1)
    return param, exp_avg, exp_inf


ADAMAX_POWERS = RunningPowers(("beta1",))


def _first_correction(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    # From beta1 as given: Paddle's kernel gets the betas in float32, but for float64 tensors the
    # power is accumulated outside the kernel, from the double.
    correction = {"correction1": 1 - ADAMAX_POWERS.in_update(t, numbers, flags)["beta1"]}
    return correction | (rounded_betas(numbers) if flags["kernel_in_float32"] else {})


ADAMAX = Rule(
    "adamax",
    adamax,
    slots=zeros("exp_avg", "exp_inf"),
    scalars=_first_correction,
    carries=ADAMAX_POWERS.carries,
    carries_in=torch.float64,
    carries_from=ADAMAX_POWERS.bases,
    implied=ADAMAX_POWERS.implied,
    torch_hyperparameters=BETAS,
)
