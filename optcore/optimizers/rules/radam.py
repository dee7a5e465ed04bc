"""RAdam: Adam that rectifies the variance of its first steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, corrections, moments
from optcore.optimizers.rules.powers import power
from optcore.optimizers.rules.rule import Flags, Numbers, Rule
from optcore.optimizers.rules.running_powers import RunningPowers


def radam(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    correction1: float,
    rectified: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one RAdam update.

    Writing m for exp_avg and v for exp_avg_sq::

        m     = beta1 * m + (1 - beta1) * grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        param = param - lr * m / correction1 * rectified / (sqrt(v + eps_root) + eps)
                param - lr * m / correction1            where rectified is 0

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0; in optax already multiplied by
            sqrt(1 - beta2 ** t).
        eps_root: keeps the mean square away from 0; in optax already multiplied by
            1 - beta2 ** t.
        correction1: 1 - beta1 ** t.
        rectified: sqrt(1 - beta2 ** t) times the paper's r. It is 0 while the paper's rho, the
            number of gradients that v amounts to, is at most 5 (the paper: 4), or in optax while
            rho is below threshold.

    References:
        Liu et al., On the Variance of the Adaptive Learning Rate and Beyond, 2020, Algorithm 2.
        https://arxiv.org/abs/1908.03265
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    # A traced program for each case: rectified is exactly 0 until rho is large enough.
    if not rectified:
        return torch.add(param, exp_avg, alpha=-lr / correction1), exp_avg, exp_avg_sq
    step = -lr / correction1 * rectified
    square = exp_avg_sq + eps_root if eps_root else exp_avg_sq
    return (
        torch.addcdiv(param, exp_avg, square.sqrt() + eps, value=step),
        exp_avg,
        exp_avg_sq,
    )


RADAM_POWERS = RunningPowers(("beta1", "beta2"), before_use=True)


LONG_ENOUGH = 5
"""RAdam divides by the mean square if its rho is above this: 5 in torch and Paddle, 4 in the paper.
"""


def _rectification(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    both = corrections(t, numbers, flags, RADAM_POWERS)
    correction2 = both["correction2"]
    if flags["eps_corrected"]:
        return {**both, **_optax_rectification(t, numbers, flags)}
    rectified = rectification(t, numbers["beta2"], correction2)
    return {"correction1": both["correction1"], "rectified": rectified, "eps_root": 0.0}


def rectification(t: int, beta2: float, correction2: float) -> float:
    """Return sqrt(1 - beta2 ** t) times the paper's r; 0 while the paper's rho is at most 5."""
    # In double: in float32, as in MindSpore's kernel, the difference below loses four digits.
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * t * (1 - correction2) / correction2
    if length <= LONG_ENOUGH:
        return 0.0
    ratio = (length - 4) * (length - 2) * longest
    ratio = ratio / ((longest - 4) * (longest - 2) * length)
    return float(ratio**0.5 * correction2**0.5)


def _optax_rectification(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the arguments rectified, eps and eps_root of `radam` as optax computes them."""
    number = np.float32 if flags["single_precision"] else np.float64
    # The roots of negative numbers are not used.
    with np.errstate(invalid="ignore"):
        power2 = number(power(numbers["beta2"], t, flags))
        longest = 2 / (1 - numbers["beta2"]) - 1
        length = number(longest) - number(2 * t) * power2 / (number(1) - power2)
        ratio = (length - number(4)) * (length - number(2)) * number(longest)
        ratio = ratio / (number((longest - 4) * (longest - 2)) * length)
        rectified = np.sqrt(ratio) if length >= numbers["threshold"] else 0.0
    correction2 = float(number(1) - power2)
    root2 = correction2**0.5
    return {
        "rectified": float(rectified) * root2,
        "eps": numbers["eps"] * root2,
        "eps_root": numbers["eps_root"] * correction2,
    }


RADAM = Rule(
    "radam",
    radam,
    slots=moments,
    scalars=_rectification,
    carries=RADAM_POWERS.carries,
    carries_in=torch.float64,
    carries_from=RADAM_POWERS.bases,
    implied=RADAM_POWERS.implied,
    torch_hyperparameters=BETAS,
)
