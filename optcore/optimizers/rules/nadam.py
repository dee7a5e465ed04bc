"""NAdam: Adam with Nesterov's momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, moments
from optcore.optimizers.rules.powers import Running, power
from optcore.optimizers.rules.rule import Flags, Numbers, Rule
from optcore.optimizers.rules.running_powers import RunningPowers
from optcore.spec.optimizers.rounded import float32


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


NADAM_POWERS = RunningPowers(("beta2",), before_use=True)


def mu(t: int, beta1: float, momentum_decay: float, base: float = 0.96) -> float:
    """Return NAdam's momentum for update *t*: the share of the old velocity that is kept."""
    return float(beta1 * (1.0 - 0.5 * base ** (t * momentum_decay)))


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
