"""LAMB: Adam with a step size per parameter tensor, computed from norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import corrections, moments, rounded_betas
from optcore.optimizers.rules.powers import power
from optcore.optimizers.rules.rule import (
    Flags,
    Numbers,
    Rule,
    agreement,
    mask_scale,
)
from optcore.optimizers.rules.running_powers import RunningPowers
from optcore.spec.optimizers.rounded import float32


def lamb_direction(
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    correction1: float,
    correction2: float,
    grad_averaging: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return u, which is Adam's step for lr 1, and the new *exp_avg* and *exp_avg_sq*.

    Writing m for exp_avg and v for exp_avg_sq::

        m = beta1 * m + (1 - beta1) * grad            m = beta1 * m + grad without grad_averaging
        v = beta2 * v + (1 - beta2) * grad * grad
        u = (m / correction1) / (sqrt(v / correction2 + eps_root) + eps)
    """
    mean = torch.lerp(grad, exp_avg, beta1) if grad_averaging else exp_avg * beta1 + grad
    exp_avg_sq = torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)
    square = exp_avg_sq / correction2
    root = (square + eps_root if eps_root else square).sqrt()
    return mean / correction1 / (root + eps), mean, exp_avg_sq


def lamb(
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
    weight_decay: float,
    correction1: float,
    correction2: float,
    ratio: float,
    mask_scale: float,
    grad_averaging: bool,
    cautious: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one LAMB update.

    ::

        u     = Adam's step for lr 1
        u     = u * mask * mask_scale            if cautious
        u     = u + weight_decay * param
        param = param - lr * ratio * u

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
        weight_decay: coefficient of param in u, so that *ratio* scales the decay, too.
        correction1: 1 - beta1 ** t; 1 without bias_correction (timm).
        correction2: 1 - beta2 ** t; 1 without bias_correction (timm).
        ratio: norm(param) / norm(u) over the whole tensor. It is 1 if a norm is 0. It is also 1 if
            weight_decay is 0 and always_adapt is false. With trust_clip, it is at most 1.
        mask_scale: 1 / (share of the coordinates where the mask is 1).
        grad_averaging: whether the gradient is multiplied by 1 - beta1 in exp_avg.
        cautious: whether Adam's step is multiplied by a mask. The mask is 1 where the step has the
            sign of the gradient, else 0.

    References:
        You et al., Large Batch Optimization for Deep Learning, 2020, Algorithm 2.
        https://arxiv.org/abs/1904.00962
    """
    direction, exp_avg, exp_avg_sq = lamb_direction(
        grad,
        exp_avg,
        exp_avg_sq,
        beta1=beta1,
        beta2=beta2,
        eps=eps,
        eps_root=eps_root,
        correction1=correction1,
        correction2=correction2,
        grad_averaging=grad_averaging,
    )
    if cautious:
        direction = direction * agreement(direction, grad) * mask_scale
    if weight_decay:
        direction = torch.add(direction, param, alpha=weight_decay)
    return torch.add(param, direction, alpha=-lr * ratio), exp_avg, exp_avg_sq


def _lamb_scalars(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    scalars = {"correction1": 1.0, "correction2": 1.0, "eps_root": numbers.get("eps_root", 0.0)}
    if not flags["bias_correction"]:
        return scalars
    scalars |= corrections(t, numbers, flags, LAMB_POWERS)
    return scalars | rounded_betas(numbers) if flags["kernel_in_float32"] else scalars


def _lamb_power(base: float, t: int, flags: Flags) -> float:
    if not flags["kernel_in_float32"] or flags["float32_products"]:
        return power(base, t, flags)
    # The power starts with beta in double; each further factor is beta in float32.
    return base * float32(base) ** (t - 1)


def _lamb_factor(base: float, flags: Flags) -> float:
    return float32(base) if flags["kernel_in_float32"] else base


LAMB_POWERS = RunningPowers(("beta1", "beta2"), power_of=_lamb_power, factor=_lamb_factor)


def _lamb_norms(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    grad_averaging: bool,
    cautious: bool,
    **given: float,
) -> tuple[Tensor, ...]:
    wanted = ("beta1", "beta2", "eps", "eps_root", "correction1", "correction2")
    numbers = {name: given[name] for name in wanted}
    step, _, _ = lamb_direction(grad, exp_avg, exp_avg_sq, **numbers, grad_averaging=grad_averaging)
    decay = given["weight_decay"]
    if not cautious:
        return param, torch.add(step, param, alpha=decay) if decay else step
    mask = agreement(step, grad)
    step = step * mask
    return param, torch.add(step, param, alpha=decay), mask, step


def _lamb_ratio(norms: list[float], numbers: Numbers, flags: Flags) -> dict[str, float]:
    of_param, of_step, *masked = norms
    scale = 1.0
    if masked:
        scale = mask_scale(masked[0], numbers["size"])
        decay = 0.0 if flags["decoupled"] else numbers["weight_decay"] * of_param
        of_step = _scaled_norm(of_step, masked[1], scale, decay)
    scaled = flags["always_adapt"] or numbers["weight_decay"] > 0
    ratio = of_param / of_step if scaled and of_param > 0 and of_step > 0 else 1.0
    return {"ratio": min(ratio, 1.0) if flags["trust_clip"] else ratio, "mask_scale": scale}


def _scaled_norm(of_sum: float, of_step: float, scale: float, of_decay: float) -> float:
    """Return norm(scale * step + decay), from the norms of step + decay, of step and of decay."""
    # The share of unmasked coordinates is known only after the pass that computes the norms.
    twice_product = of_sum**2 - of_step**2 - of_decay**2
    square = (scale * of_step) ** 2 + scale * twice_product + of_decay**2
    return math.sqrt(max(square, 0.0))


LAMB = Rule(
    "lamb",
    lamb,
    slots=moments,
    scalars=_lamb_scalars,
    carries=LAMB_POWERS.carries,
    carries_in=torch.float64,
    carries_from=LAMB_POWERS.bases,
    implied=LAMB_POWERS.implied,
    norms=_lamb_norms,
    ratios=_lamb_ratio,
    own_decay=True,
    own_caution=True,
    takes_sparse_in_paddle=True,
)
