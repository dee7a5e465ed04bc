"""Rules that divide by the distance of gradients from their mean: AdaBelief and ACProp."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, corrections
from optcore.optimizers.rules.radam import rectification
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros


def adabelief(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_var: Tensor,
    *others: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    grad_share: float,
    avg_share: float,
    correction2: float,
    divided: float,
    amsgrad: bool,
    rectify: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *exp_avg*, *exp_avg_var* and *others* after one AdaBelief update.

    Writing m for exp_avg and s for exp_avg_var::

        m     = beta1 * m + (1 - beta1) * grad
        s     = beta2 * s + (1 - beta2) * (grad - m) ** 2 + eps_root
        n     = avg_share * m + grad_share * grad
        param = param - lr * n / (sqrt(s / correction2) + eps)
                param - lr * n                                      if divided is 0

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_var: same shape as *param*; zeros before the first step.
        others: max_exp_avg_var if *amsgrad*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_var that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: added to the stored exp_avg_var in every update.
        grad_share: factor of the gradient in n. It is (1 - beta1) / (1 - beta1 ** t) with
            Nesterov's momentum, else 0.
        avg_share: factor of m in n. It is r / (1 - beta1 ** t) with *rectify*,
            beta1 / (1 - beta1 ** (t + 1)) with Nesterov's momentum, else 1 / (1 - beta1 ** t). If
            r is 0 and the spec sets degenerated_to_sgd, 1 takes the place of r.
        correction2: 1 - beta2 ** t. With *rectify* it is 1, since r contains the correction.
        divided: 0 while r is 0 (s is not reliable yet), else 1.
        amsgrad: whether the largest s so far takes the place of s; not used with *rectify*.
        rectify: whether the step is multiplied by r, radam's factor (`rectification`).

    References:
        Zhuang et al., AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients,
        2020, Algorithm 2. https://arxiv.org/abs/2010.07468
    """
    exp_avg = torch.lerp(grad, exp_avg, beta1)
    surprise = grad - exp_avg
    exp_avg_var = torch.addcmul(exp_avg_var * beta2, surprise, surprise, value=1 - beta2)
    if eps_root:
        exp_avg_var = exp_avg_var + eps_root
    largest = (torch.maximum(others[0], exp_avg_var),) if amsgrad else ()
    if not divided:
        return torch.add(param, exp_avg, alpha=-lr * avg_share), exp_avg, exp_avg_var, *largest
    square = largest[0] if largest and not rectify else exp_avg_var
    denominator = (square / correction2).sqrt() + eps
    if grad_share:
        param = torch.addcdiv(param, grad, denominator, value=-lr * grad_share)
    param = torch.addcdiv(param, exp_avg, denominator, value=-lr * avg_share)
    return param, exp_avg, exp_avg_var, *largest


def acprop(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_var: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    first: float,
    correction2: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_var* after one ACProp update.

    Writing m for exp_avg and s for exp_avg_var::

        d     = sqrt(s / correction2)                d = 1 in the first update
        param = param - lr * grad / (d + eps)
        s     = beta2 * s + (1 - beta2) * (grad - m) ** 2 + eps_root
        m     = beta1 * m + (1 - beta1) * grad

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_var: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_var that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: added to the stored exp_avg_var in every update.
        first: 1 in the first update, 0 later.
        correction2: 1 - beta2 ** (t - 1), since d is computed from the old exp_avg_var.

    References:
        Zhuang et al., Momentum Centering and Asynchronous Update for Adaptive Gradient Methods,
        2021, Algorithm 3. https://arxiv.org/abs/2110.05454
    """
    if first:
        param = torch.add(param, grad, alpha=-lr / (1 + eps))
    else:
        denominator = (exp_avg_var / correction2).sqrt() + eps
        param = torch.addcdiv(param, grad, denominator, value=-lr)
    surprise = grad - exp_avg
    exp_avg_var = torch.addcmul(exp_avg_var * beta2, surprise, surprise, value=1 - beta2)
    if eps_root:
        exp_avg_var = exp_avg_var + eps_root
    return param, torch.lerp(grad, exp_avg, beta1), exp_avg_var


def shares(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the arguments of `adabelief` that depend on the number *t* of the update."""
    beta1, correction1 = numbers["beta1"], corrections(t, numbers, flags)["correction1"]
    if flags.get("rectify"):
        return _rectified(t, numbers, flags)
    grad_share, avg_share = 0.0, 1 / correction1
    if flags["nesterov"]:
        grad_share, avg_share = (1 - beta1) / correction1, beta1 / (1 - beta1 ** (t + 1))
    return {
        "grad_share": grad_share,
        "avg_share": avg_share,
        "correction2": corrections(t, numbers, flags)["correction2"],
        "divided": 1.0,
    }


def _rectified(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    both = corrections(t, numbers, flags)
    factor = rectification(t, numbers["beta2"], both["correction2"])
    divided = float(factor > 0)
    if not divided and flags["degenerated_to_sgd"]:
        factor = 1.0
    share = factor / both["correction1"]
    return {"grad_share": 0.0, "avg_share": share, "correction2": 1.0, "divided": divided}


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    slots = {"exp_avg": 0.0, "exp_avg_var": 0.0}
    return {**slots, "max_exp_avg_var": 0.0} if flags["amsgrad"] else slots


def _before(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    first = t == 1
    return {"first": float(first), "correction2": 1.0 if first else 1 - numbers["beta2"] ** (t - 1)}


ADABELIEF = Rule(
    "adabelief",
    adabelief,
    slots=_slots,
    scalars=shares,
    torch_hyperparameters=BETAS,
)
ACPROP = Rule(
    "acprop",
    acprop,
    slots=zeros("exp_avg", "exp_avg_var"),
    scalars=_before,
    torch_hyperparameters=BETAS,
)
