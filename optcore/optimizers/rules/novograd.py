"""NovoGrad: one mean square per tensor, and a momentum of the normalized gradients."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.adam import BETAS
from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def novograd(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    norm_sq: Tensor,
    *others: Tensor,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    weight_decay: float,
    later: float,
    amsgrad: bool,
    grad_averaging: bool,
    in_float32: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *exp_avg*, *norm_sq* and *others* after one NovoGrad update.

    Writing m for exp_avg and v for norm_sq, which is one number::

        v     = beta2 * v + (1 - beta2) * norm(grad) ** 2        norm(grad) ** 2 in the first update
        m     = beta1 * m + grad / (sqrt(v + eps_root) + eps) + weight_decay * param
        param = param - lr * m

    With *grad_averaging*, both terms added to beta1 * m are multiplied by 1 - beta1.

    Args:
        param: any shape and float dtype; overwritten.
        grad: same shape and dtype as *param*.
        exp_avg: same shape as *param*; zeros before the first step; overwritten.
        norm_sq: no dimensions; 0 before the first step.
        others: max_norm_sq if *amsgrad*; no dimensions; 0 before the first step.
        lr: learning rate.
        beta1: share of the old exp_avg that is kept, in [0, 1).
        beta2: share of the old norm_sq that is kept, in [0, 1).
        eps: keeps the denominator away from 0.
        eps_root: keeps norm_sq away from 0 under the root.
        weight_decay: coefficient of param in the step.
        later: 0 in the first update, 1 later.
        amsgrad: whether to divide by the root of the largest norm_sq so far.
        grad_averaging: whether m is a mean, not a sum.
        in_float32: whether norm_sq is computed in float32, and starts with the first norm that is
            not 0 (timm).

    References:
        Ginsburg et al., Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training
        of Deep Networks, 2019, Algorithm 1. https://arxiv.org/abs/1905.11286
    """
    square = torch.linalg.vector_norm(grad).square()
    if in_float32:
        norm_sq = _float32_mean(norm_sq, square, beta2)
    else:
        norm_sq = torch.lerp(square, norm_sq, beta2) if later else square
    largest: tuple[Tensor, ...] = (torch.maximum(others[0], norm_sq),) if amsgrad else ()
    divisor = (largest[0] if amsgrad else norm_sq) + eps_root
    # timm divides by the float32 root even if the parameter is float64.
    root = (divisor.float() if in_float32 else divisor).sqrt() + eps
    share = 1 - beta1 if grad_averaging else 1.0
    # In place: a rule that is not traced would hold further copies of a large tensor.
    exp_avg.mul_(beta1).addcdiv_(grad, root.to(param.dtype), value=share)
    if weight_decay:
        exp_avg.add_(param, alpha=weight_decay * share)
    return param.add_(exp_avg, alpha=-lr), exp_avg, norm_sq, *largest


def novograd_together(
    params: list[Tensor],
    grads: list[Tensor],
    exp_avgs: list[Tensor],
    norm_sqs: list[Tensor],
    *others: list[Tensor],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    eps_root: float,
    weight_decay: float,
    later: float,
    amsgrad: bool,
    grad_averaging: bool,
    in_float32: bool,
) -> None:
    """Apply `novograd` to several parameters at once; parameters and slots change in place."""
    # Not torch._foreach_norm, which sums 16-bit numbers in another way.
    squares = [torch.linalg.vector_norm(grad).square() for grad in grads]
    if in_float32:
        pairs = zip(norm_sqs, squares, strict=True)
        torch._foreach_copy_(norm_sqs, [_float32_mean(mean, new, beta2) for mean, new in pairs])
    elif later:
        torch._foreach_copy_(norm_sqs, torch._foreach_lerp(squares, norm_sqs, beta2))
    else:
        torch._foreach_copy_(norm_sqs, squares)
    if amsgrad:
        torch._foreach_maximum_(others[0], norm_sqs)
    divisors = list(torch._foreach_add(others[0] if amsgrad else norm_sqs, eps_root))
    if in_float32:
        divisors = [divisor.float() for divisor in divisors]
    torch._foreach_sqrt_(divisors)
    torch._foreach_add_(divisors, eps)
    roots = [root.to(param.dtype) for root, param in zip(divisors, params, strict=True)]
    share = 1 - beta1 if grad_averaging else 1.0
    torch._foreach_mul_(exp_avgs, beta1)
    torch._foreach_addcdiv_(exp_avgs, grads, roots, value=share)
    if weight_decay:
        torch._foreach_add_(exp_avgs, params, alpha=weight_decay * share)
    torch._foreach_add_(params, exp_avgs, alpha=-lr)


def _float32_mean(norm_sq: Tensor, square: Tensor, beta2: float) -> Tensor:
    scaled = norm_sq.float().mul_(beta2)
    mean = (scaled.to(square.dtype) + (1 - beta2) * square).float()
    return torch.where(norm_sq == 0, square.float(), mean).to(norm_sq.dtype)


def _shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    return {"exp_avg": tuple(shape), "norm_sq": (), "max_norm_sq": ()}


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    slots = {"exp_avg": 0.0, "norm_sq": 0.0}
    return {**slots, "max_norm_sq": 0.0} if flags["amsgrad"] else slots


def _later(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"later": float(t > 1)}


NOVOGRAD = Rule(
    "novograd",
    novograd,
    slots=_slots,
    scalars=_later,
    shapes=_shapes,
    together=novograd_together,
    own_decay=True,
    torch_hyperparameters=BETAS,
)
