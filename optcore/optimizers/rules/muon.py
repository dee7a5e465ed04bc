"""Muon: momentum for matrices, whose step is replaced by the nearest orthogonal matrix."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule, zeros


def muon(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *,
    lr: float,
    momentum: float,
    ns_a: float,
    ns_b: float,
    ns_c: float,
    ns_steps: float,
    ns_eps: float,
    rms_rate: float,
    nesterov: bool,
    mean_velocity: bool,
    in_bfloat16: bool,
    by_aspect: bool,
    by_size: bool,
) -> tuple[Tensor, Tensor]:
    """
    Return the matrix *param* and *momentum_buffer* after one Muon update.

    Writing v for the buffer and f for 1 - momentum (1 without *mean_velocity*)::

        v     = momentum * v + f * grad
        n     = momentum * v + f * grad          nesterov, else v
        param = param - lr * s * orthogonal(n)

    Args:
        param: two dimensions, any float dtype.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step. Written in place.
        lr: learning rate.
        momentum: share of the old velocity that is kept, in [0, 1).
        ns_a: passed to `orthogonal`.
        ns_b: passed to `orthogonal`.
        ns_c: passed to `orthogonal`.
        ns_steps: passed to `orthogonal`.
        ns_eps: passed to `orthogonal`.
        rms_rate: root mean square of a step, in units of lr, if *by_size*.
        nesterov: whether the gradient enters n once more (Nesterov momentum).
        mean_velocity: whether the velocity is a mean of gradients (torch) or their sum (Keras).
        in_bfloat16: whether n is made orthogonal in bfloat16 (torch).
        by_aspect: whether s = sqrt(max(1, rows / columns)).
        by_size: whether s = rms_rate * sqrt(max(rows, columns)).

    References:
        Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024.
        https://kellerjordan.github.io/posts/muon/
        torch.optim.Muon, keras.optimizers.Muon.
    """
    # Memory is reused as early as possible: matrices are large and cannot be updated in slices.
    if mean_velocity:
        velocity = momentum_buffer.lerp_(grad, 1 - momentum)
        ahead = torch.lerp(grad, velocity, momentum) if nesterov else velocity
    else:
        velocity = torch.add(grad, momentum_buffer, alpha=momentum, out=momentum_buffer)
        ahead = torch.add(grad, velocity, alpha=momentum) if nesterov else velocity
    if in_bfloat16:
        ahead = ahead.bfloat16()
    step = orthogonal(
        ahead,
        ns_a=ns_a,
        ns_b=ns_b,
        ns_c=ns_c,
        ns_steps=int(ns_steps),
        ns_eps=ns_eps,
        in_bfloat16=in_bfloat16,
    )
    rows, columns = param.shape
    scale = max(1.0, rows / columns) ** 0.5 if by_aspect else 1.0
    if by_size:
        scale = rms_rate * max(rows, columns) ** 0.5
    step = step.to(param.dtype)
    return torch.add(param, step, alpha=-lr * scale, out=step), velocity


def orthogonal(
    matrix: Tensor,
    *,
    ns_a: float,
    ns_b: float,
    ns_c: float,
    ns_steps: int,
    ns_eps: float,
    in_bfloat16: bool,
) -> Tensor:
    """
    Return approximately U V^T, where U S V^T is the singular value decomposition of *matrix*.

    ::

        X = matrix / norm(matrix)
        ns_steps times:  A = X X^T;  X = ns_a * X + (ns_b * A + ns_c * A A) X

    Args:
        matrix: two dimensions.
        ns_a: coefficient of X.
        ns_b: coefficient of A X.
        ns_c: coefficient of A A X.
        ns_steps: number of iterations.
        ns_eps: lower bound of the norm (if *in_bfloat16*, as in torch), or added to it (Keras).
        in_bfloat16: whether *matrix* was converted to bfloat16 for this function.

    References:
        Newton-Schulz iteration of fifth order, as in Jordan et al., 2024.
    """
    # A wide matrix has the smaller products. torch transposes a tall matrix too, so the same
    # numbers are rounded to bfloat16.
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    norm = x.norm()
    x = x / (norm.clamp(min=ns_eps) if in_bfloat16 else norm + ns_eps)
    for _ in range(ns_steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=ns_b, alpha=ns_c), x, beta=ns_a)
    return x if wide else x.T


def _shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    return {"momentum_buffer": tuple(shape)}


def _adjust_lr_fn(flags: Flags) -> dict[str, str | None]:
    """Return torch's setting for how lr depends on a matrix's shape; None stands for original."""
    if flags["by_aspect"]:
        return {"adjust_lr_fn": None}
    return {"adjust_lr_fn": "match_rms_adamw" if flags["by_size"] else "none"}


MUON = Rule(
    "muon",
    muon,
    slots=zeros("momentum_buffer"),
    shapes=_shapes,
    counts_steps=False,
    torch_hyperparameters={"ns_coefficients": ("ns_a", "ns_b", "ns_c"), "eps": ("ns_eps",)},
    torch_flags=("nesterov",),
    torch_entries=_adjust_lr_fn,
)
