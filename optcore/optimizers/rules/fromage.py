"""Fromage: steps whose size is a share of the norm of the parameter."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def fromage(
    param: Tensor, grad: Tensor, *, lr: float, shrink: float, ratio: float
) -> tuple[Tensor]:
    """
    Return *param* after one Fromage update.

    ::

        param = shrink * (param - lr * ratio * grad)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        lr: learning rate: the size of a step, as a share of the norm of *param*.
        shrink: 1 / sqrt(1 + lr ** 2).
        ratio: norm(param) / norm(grad) over the whole tensor. A norm below min_norm is replaced by
            min_norm. If a norm is still 0, the ratio is 1.

    References:
        Bernstein et al., On the Distance between Two Neural Networks and the Stability of Learning,
        2020, Algorithm 1. https://arxiv.org/abs/2002.03432
    """
    return (torch.add(param * shrink, grad, alpha=-lr * shrink * ratio),)


def _shrink(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"shrink": 1 / (1 + numbers["lr"] ** 2) ** 0.5}


def _norms(param: Tensor, grad: Tensor, **numbers: float) -> tuple[Tensor, Tensor]:
    return param, grad


def _ratio(norms: list[float], numbers: Numbers, flags: Flags) -> dict[str, float]:
    of_param, of_grad = (max(norm, numbers["min_norm"]) for norm in norms)
    return {"ratio": of_param / of_grad if of_param > 0 and of_grad > 0 else 1.0}


FROMAGE = Rule("fromage", fromage, scalars=_shrink, norms=_norms, ratios=_ratio)
