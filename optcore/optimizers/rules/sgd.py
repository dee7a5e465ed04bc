"""Gradient descent: plain, with momentum, and with Nesterov momentum."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, FusedKernel, Numbers, Rule, unscale, zeros


def sgd(param: Tensor, grad: Tensor, *, lr: float) -> tuple[Tensor]:
    """
    Return *param* after one step of gradient descent.

    ::

        param = param - lr * grad

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        lr: learning rate.

    References:
        Robbins and Monro, A Stochastic Approximation Method, 1951.
    """
    return (torch.add(param, grad, alpha=-lr),)


def momentum(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *,
    lr: float,
    momentum: float,
    gain: float,
    lr_inside: bool,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *momentum_buffer* after one step of gradient descent with momentum.

    Writing v for momentum_buffer::

        lr outside                          lr inside
        v     = momentum * v + gain * grad  v     = momentum * v - lr * grad
        param = param - lr * v              param = param + v

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step.
        lr: learning rate.
        momentum: share of the old velocity that is kept, in [0, 1].
        gain: 1 - dampening, but 1 at the first step (torch, MindSpore's nn.SGD); not used with
            *lr_inside*.
        lr_inside: whether the velocity contains lr: the right column (Keras, and the dialect
            ``article``), not the left.

    References:
        Polyak, Some Methods of Speeding up the Convergence of Iteration Methods, 1964.
    """
    if lr_inside:
        velocity = torch.add(momentum_buffer * momentum, grad, alpha=-lr)
        return param + velocity, velocity
    velocity = torch.add(momentum_buffer * momentum, grad, alpha=gain)
    return torch.add(param, velocity, alpha=-lr), velocity


def nesterov(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *,
    lr: float,
    momentum: float,
    lr_inside: bool,
    as_written: bool,
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *momentum_buffer* after one step with Nesterov momentum.

    Writing v for momentum_buffer::

        lr outside                                   lr inside
        v     = momentum * v + grad                  v     = momentum * v - lr * grad
        param = param - lr * (grad + momentum * v)   param = param + momentum * v - lr * grad

                                                     as_written
                                                     param = param + momentum ** 2 * v
                                                             - (1 + momentum) * lr * grad

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step.
        lr: learning rate.
        momentum: share of the old velocity that is kept, in [0, 1].
        lr_inside: whether the velocity contains lr: the right column (Keras, and the dialect
            ``article``), not the left.
        as_written: whether to use the formula of the dialect ``article``. It is derived from
            Bengio's formula, but has the new v where Bengio's has the old v.

    References:
        Sutskever et al., On the Importance of Initialization and Momentum in Deep Learning,
        2013, equations 3 and 4. https://proceedings.mlr.press/v28/sutskever13.html
        Bengio, Boulanger-Lewandowski and Pascanu, Advances in Optimizing Recurrent Networks,
        2013, equation 7. https://arxiv.org/abs/1212.0901
    """
    if lr_inside:
        velocity = torch.add(momentum_buffer * momentum, grad, alpha=-lr)
        if not as_written:
            ahead = torch.add(param, velocity, alpha=momentum)
            return torch.add(ahead, grad, alpha=-lr), velocity
        ahead = torch.add(param, velocity, alpha=momentum * momentum)
        return torch.add(ahead, grad, alpha=-(1 + momentum) * lr), velocity
    velocity = torch.add(momentum_buffer * momentum, grad)
    ahead = torch.add(grad, velocity, alpha=momentum)
    return torch.add(param, ahead, alpha=-lr), velocity


def _gain(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"gain": 1.0 if t == 1 else 1.0 - numbers["dampening"]}


SLICE = 65_536
"""Number of elements that `_in_float32` converts at a time: they stay in a core's cache."""


def _fused(*, nesterov: bool) -> FusedKernel:
    def kernel(
        params: list[Tensor],
        grads: list[Tensor],
        slots: list[list[Tensor]],
        t: int,
        numbers: Numbers,
    ) -> None:
        # The buffer starts at 0 and the first gradient is not dampened, so the kernel needs no flag
        # for the first step.
        torch._fused_sgd_(
            params,
            grads,
            slots[0] if slots else [],
            lr=numbers["lr"],
            weight_decay=numbers["weight_decay"],
            momentum=numbers["momentum"] if slots else 0.0,  # SGD has no such number
            dampening=numbers.get("dampening", 0.0) if t > 1 else 0.0,
            nesterov=nesterov,
            maximize=False,
            grad_scale=unscale(numbers, params[0]),
            is_first_step=False,
        )

    return _in_float32(kernel)


def _in_float32(kernel: FusedKernel) -> FusedKernel:
    """
    Return *kernel* with 16-bit tensors on a CPU converted to float32, slice by slice.

    On a CPU, the kernel of torch 2.13 updates only the last few elements of 16-bit parameters, and
    reads beyond the end of the momentum buffer. On a GPU nothing is converted, since the kernel
    computes in float32 by itself.

    References:
        https://github.com/pytorch/pytorch/issues/191763
    """

    def converting(
        params: list[Tensor],
        grads: list[Tensor],
        slots: list[list[Tensor]],
        t: int,
        numbers: Numbers,
    ) -> None:
        if params[0].is_cuda or params[0].dtype.itemsize >= torch.float32.itemsize:
            kernel(params, grads, slots, t, numbers)
            return
        for span in zip(params, grads, *slots, strict=True):
            for parts in zip(*(tensor.split(SLICE) for tensor in span), strict=True):
                param, grad, *others = [part.float() for part in parts]
                kernel([param], [grad], [[other] for other in others], t, numbers)
                for part, wide in zip((parts[0], *parts[2:]), (param, *others), strict=True):
                    part.copy_(wide)

    return converting


SGD = Rule(
    "sgd",
    sgd,
    takes_sparse=True,
    fused=_fused(nesterov=False),
    fused_from=65_536,  # the rule is one operation
    counts_steps=False,
    torch_constants={"momentum": 0.0, "dampening": 0.0, "nesterov": False},
)
MOMENTUM = Rule(
    "momentum",
    momentum,
    takes_sparse=True,
    slots=zeros("momentum_buffer"),
    scalars=_gain,
    fused=_fused(nesterov=False),
    counts_steps=False,
    torch_constants={"nesterov": False},
)
NESTEROV = Rule(
    "nesterov",
    nesterov,
    takes_sparse=True,
    slots=zeros("momentum_buffer"),
    fused=_fused(nesterov=True),
    counts_steps=False,
    torch_constants={"dampening": 0.0, "nesterov": True},
)
