"""ADOPT: Adam that divides a gradient by the root mean square of the gradients before it."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.adam import BETAS, moments
from optcore.optimizers.rules.rule import Flags, Numbers, Rule, agreement


def adopt(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    later: float,
    largest: float,
    mask_scale: float,
    use_clipping: bool,
    nesterov: bool,
    cautious: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """
    Return *param*, *exp_avg* and *exp_avg_sq* after one ADOPT update.

    Writing m for exp_avg and v for exp_avg_sq::

        param = param - lr * weight_decay * param
        u     = grad / max(sqrt(v), eps)                    with the v of the update before
        u     = clamp(u, -largest, largest)                 if use_clipping
        m     = beta1 * m + (1 - beta1) * u
        n     = m                                           beta1 * m + (1 - beta1) * u if nesterov
        n     = n * mask * mask_scale                       if cautious
        param = param - lr * n
        v     = beta2 * v + (1 - beta2) * grad * grad

    The first update sets v to grad * grad, and makes no step and no decay.

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step.
        exp_avg_sq: same shape as *param*; zeros before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old exp_avg_sq that is kept, in [0, 1).
        eps: lower bound of the denominator.
        weight_decay: decoupled weight decay as in timm, which skips it in the first update.
        later: 0 in the first update, 1 later.
        largest: (t - 1) ** clip_exponent.
        mask_scale: 1 / (share of the coordinates where the mask is 1).
        use_clipping: whether u is limited.
        nesterov: whether the step uses exp_avg with u mixed in once more.
        cautious: whether the step is multiplied by a mask. The mask is 1 where the step has the
            sign of the gradient, else 0.

    References:
        Taniguchi et al., ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate,
        2024, Algorithm 2. https://arxiv.org/abs/2411.02853
    """
    if not later:
        return param, exp_avg, torch.addcmul(exp_avg_sq * 0, grad, grad)
    if weight_decay:
        param = param * (1 - lr * weight_decay)
    direction = grad / exp_avg_sq.sqrt().clamp(min=eps)
    if use_clipping:
        direction = direction.clamp(-largest, largest)
    exp_avg = torch.lerp(direction, exp_avg, beta1)
    step = torch.lerp(direction, exp_avg, beta1) if nesterov else exp_avg
    if cautious:
        step = step * agreement(step, grad) * mask_scale
    param = torch.add(param, step, alpha=-lr)
    return param, exp_avg, torch.addcmul(exp_avg_sq * beta2, grad, grad, value=1 - beta2)


def _mask(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    use_clipping: bool,
    nesterov: bool,
    cautious: bool,
    **given: float,
) -> Tensor:
    wanted = ("lr", "beta1", "beta2", "eps", "later", "largest")
    numbers = {name: given[name] for name in wanted}
    moved, _, _ = adopt(
        param * 0,
        grad,
        exp_avg,
        exp_avg_sq,
        **numbers,
        weight_decay=0.0,
        mask_scale=1.0,
        use_clipping=use_clipping,
        nesterov=nesterov,
        cautious=False,
    )
    return agreement(-moved, grad)


def _limit(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"later": float(t > 1), "largest": float((t - 1) ** numbers["clip_exponent"])}


ADOPT = Rule(
    "adopt",
    adopt,
    slots=moments,
    scalars=_limit,
    masks=_mask,
    own_caution=True,
    own_decay=True,
    torch_hyperparameters=BETAS,
)
