"""Steps of one size in every coordinate: signSGD and Signum."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Rule, zeros


def sign_sgd(param: Tensor, grad: Tensor, *, lr: float) -> tuple[Tensor]:
    """
    Return *param* after one step of size lr against the sign of the gradient.

    ::

        param = param - lr * sign(grad)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        lr: learning rate: the size of the step in every coordinate.

    References:
        Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems, 2018,
        Algorithm 1. https://arxiv.org/abs/1802.04434
    """
    return (torch.add(param, grad.sign(), alpha=-lr),)


def signum(
    param: Tensor, grad: Tensor, momentum_buffer: Tensor, *, lr: float, momentum: float
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *momentum_buffer* after one step against the sign of a mean gradient.

    Writing m for momentum_buffer::

        m     = momentum * m + (1 - momentum) * grad
        param = param - lr * sign(m)

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step.
        lr: learning rate: the size of the step in every coordinate.
        momentum: share of the old mean that is kept, in [0, 1).

    References:
        Bernstein et al., signSGD: Compressed Optimisation for Non-Convex Problems, 2018,
        Algorithm 2. https://arxiv.org/abs/1802.04434
    """
    mean = torch.lerp(grad, momentum_buffer, momentum)
    return torch.add(param, mean.sign(), alpha=-lr), mean


SIGN_SGD = Rule("sign_sgd", sign_sgd)
SIGNUM = Rule("signum", signum, slots=zeros("momentum_buffer"))
