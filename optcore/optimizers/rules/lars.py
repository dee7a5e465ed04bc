"""LARS: momentum with a step size per parameter tensor, computed from norms."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import (
    Flags,
    Numbers,
    Rule,
    zeros,
)


def lars(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *,
    lr: float,
    momentum: float,
    weight_decay: float,
    ratio: float,
    gain: float,
    lr_inside: bool,
    nesterov: bool,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *momentum_buffer* after one LARS update.

    Writing v for momentum_buffer and u for ratio * (grad + weight_decay * param)::

        lr_inside true                                   lr_inside false
        v     = momentum * v + lr * u                    v     = momentum * v + gain * u
        param = param - v                                param = param - lr * v

        nesterov
        param = param - lr * u - momentum * v            param = param - lr * (u + momentum * v)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step.
        lr: learning rate.
        momentum: share of the old velocity that is kept, in [0, 1).
        weight_decay: L2 regularization.
        ratio: lars_coeff * norm(param) / (norm(grad) + weight_decay * norm(param) + eps) over
            the whole tensor. It is 1 if a norm is 0. It is also 1 if weight_decay is 0 and
            always_adapt is false. `optcore.spec.optimizers.lars.Lars` lists the exceptions of each
            dialect.
        gain: 1 - dampening, but 1 at the first step; not used with *lr_inside*.
        lr_inside: whether the velocity contains lr; false in timm.
        nesterov: whether the step contains u once more.

    References:
        You, Gitman and Ginsburg, Large Batch Training of Convolutional Networks, 2017,
        Algorithm 1. https://arxiv.org/abs/1708.03888
    """
    if weight_decay:
        grad = torch.add(grad, param, alpha=weight_decay)
    if not lr_inside:
        velocity = torch.add(momentum_buffer * momentum, grad, alpha=gain * ratio)
        if not nesterov:
            return torch.add(param, velocity, alpha=-lr), velocity
        param = torch.add(param, velocity, alpha=-lr * momentum)
        return torch.add(param, grad, alpha=-lr * ratio), velocity
    velocity = torch.add(momentum_buffer * momentum, grad, alpha=lr * ratio)
    if nesterov:
        param = torch.add(param, velocity, alpha=-momentum)
        return torch.add(param, grad, alpha=-lr * ratio), velocity
    return param - velocity, velocity


def _lars_norms(
    param: Tensor, grad: Tensor, momentum_buffer: Tensor, **numbers: float
) -> tuple[Tensor, Tensor]:
    if numbers["norm_with_decay"]:
        return param, torch.add(grad, param, alpha=numbers["weight_decay"])
    # The gradient is without decay: `_lars_ratio` adds weight_decay * norm(param).
    return param, grad


def _lars_ratio(norms: list[float], numbers: Numbers, flags: Flags) -> dict[str, float]:
    of_param, of_grad = norms
    decay, lr = numbers["weight_decay"], numbers["lr"]
    if not flags["adapt"] or not (flags["always_adapt"] or decay > 0):
        return {"ratio": 1.0}
    ratio = 1.0
    if of_param > 0 and of_grad > 0:
        if not flags["norm_with_decay"]:
            of_grad += decay * of_param
        ratio = numbers["lars_coeff"] * of_param / (of_grad + numbers["eps"])
    if flags["trust_clip"]:
        ratio = min(ratio / lr, 1.0) if lr else 1.0
    return {"ratio": ratio}


def _gain(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"gain": 1.0 if t == 1 else 1.0 - numbers["dampening"]}


LARS = Rule(
    "lars",
    lars,
    slots=zeros("momentum_buffer"),
    scalars=_gain,
    norms=_lars_norms,
    ratios=_lars_ratio,
    own_decay=True,
)
