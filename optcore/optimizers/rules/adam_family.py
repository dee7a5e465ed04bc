"""Adam's relatives: Adamax, NAdam, RAdam."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, corrections, moments, rounded_betas
from optcore.optimizers.rules.powers import Running, power
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros
from optcore.optimizers.rules.running_powers import RunningPowers
from optcore.spec.optimizers.rounded import float32


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
        eps_on_gradient: whether eps is added to |grad| instead (torch).
        eps_on_maximum: whether eps is added to beta2 * u instead (Paddle).

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


def nadam(
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
    correction2: float,
    grad_share: float,
    avg_share: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one NAdam update.

    Writing m for exp_avg and v for exp_avg_sq::

        m     = beta1 * m + (1 - beta1) * grad
        v     = beta2 * v + (1 - beta2) * grad * grad
        d     = sqrt(v / correction2 + eps_root) + eps
        param = param - lr * (grad_share * grad + avg_share * m) / d

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: keeps the mean square away from 0 (optax).
        correction2: 1 - beta2 ** t.
        grad_share: (1 - mu_t) / (1 - product of mu_1 to mu_t), with mu_t from `mu`.
        avg_share: mu_{t+1} / (1 - product of mu_1 to mu_{t+1}).

    References:
        Dozat, Incorporating Nesterov Momentum into Adam, 2016, Algorithm 2.
        https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    square = exp_avg_sq / correction2
    denominator = (square + eps_root if eps_root else square).sqrt() + eps
    param = torch.addcdiv(param, grad, denominator, value=-lr * grad_share)
    return torch.addcdiv(param, exp_avg, denominator, value=-lr * avg_share), exp_avg, exp_avg_sq


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
        rectified: sqrt(1 - beta2 ** t) times the paper's r; 0 while the paper's rho is at most 5
            (4 in the paper; in optax: while rho is below threshold).

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


ADAMAX_POWERS = RunningPowers(("beta1",))
NADAM_POWERS = RunningPowers(("beta2",), before_use=True)
RADAM_POWERS = RunningPowers(("beta1", "beta2"), before_use=True)


def _first_correction(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    # From beta1 as given: Paddle's kernel gets the betas in float32, but for float64 tensors the
    # power is accumulated outside the kernel, from the double.
    correction = {"correction1": 1 - ADAMAX_POWERS.in_update(t, numbers, flags)["beta1"]}
    return correction | (rounded_betas(numbers) if flags["kernel_in_float32"] else {})


def mu(t: int, beta1: float, momentum_decay: float, base: float = 0.96) -> float:
    """Return NAdam's momentum for update *t*: the share of the old velocity that is kept."""
    return float(beta1 * (1.0 - 0.5 * base ** (t * momentum_decay)))


LONG_ENOUGH = 5
"""RAdam divides by the mean square if its rho is above this: 5 in torch and Paddle, 4 in the paper.
"""

_constant_mu_product = Running(mu, product=True)


def _mu_product(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the product of mu over the updates 1 to *t*, with the beta1 of each update."""
    if flags["constant_mu"]:
        return {}
    if t == 0:
        return {"mu_product": 1.0}
    factor = mu(t, numbers["beta1"], numbers["momentum_decay"])
    # torch keeps the product in a float32 tensor whatever the dtype of the parameters.
    if not flags["float32_mu"]:
        return {"mu_product": numbers["mu_product"] * factor}
    return {"mu_product": float32(numbers["mu_product"] * float32(factor))}


def _products(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return _mu_product(t, numbers, flags) | NADAM_POWERS.carries(t, numbers, flags)


def _implied_products(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    arguments = numbers["beta1"], numbers["momentum_decay"]
    product = _constant_mu_product(t, *arguments, float32=flags["float32_mu"])
    return {"mu_product": product} | NADAM_POWERS.implied(t, numbers, flags)


def _shares(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    if flags["constant_mu"]:
        return _constant_shares(t, numbers, flags)
    beta1, decay = numbers["beta1"], numbers["momentum_decay"]
    product = _mu_product(t, numbers, flags)["mu_product"]
    rounded = {}
    if flags["float32_constants"]:  # Keras: everywhere but in the product
        beta1 = rounded["beta1"] = float32(beta1)
        now, following = (mu(i, beta1, decay, base=float32(0.96)) for i in (t, t + 1))
    else:
        now, following = mu(t, beta1, decay), mu(t + 1, beta1, decay)
    return {
        **rounded,
        "eps_root": 0.0,
        "correction2": 1 - NADAM_POWERS.in_update(t, numbers, flags)["beta2"],
        "grad_share": (1 - now) / (1 - product),
        "avg_share": following / (1 - product * following),
    }


def _constant_shares(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return correction2, grad_share and avg_share for a mu that is always beta1, as in optax."""
    beta1 = numbers["beta1"]
    return {
        "correction2": 1 - power(numbers["beta2"], t, flags),
        "grad_share": (1 - beta1) / (1 - beta1**t),
        "avg_share": beta1 / (1 - beta1 ** (t + 1)),
    }


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
    """Return rectified, and eps and eps_root scaled by the correction, as optax computes them."""
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
NADAM = Rule(
    "nadam",
    nadam,
    slots=moments,
    scalars=_shares,
    carries=_products,
    carries_in=torch.float64,
    carries_from=("beta1", "momentum_decay", "beta2"),
    implied=_implied_products,
    torch_hyperparameters=BETAS,
)
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
