"""Muon: momentum whose step, for a matrix, is replaced by the nearest orthogonal one."""

from __future__ import annotations

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.rule import Flags, Rule, zeros


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
        ns_a: see `orthogonal`, as are ns_b, ns_c, ns_steps, ns_eps and in_bfloat16.
        ns_b: see there.
        ns_c: see there.
        ns_steps: see there.
        ns_eps: see there.
        rms_rate: root mean square of a step, if *by_size*.
        nesterov: look ahead.
        mean_velocity: the velocity is a mean of gradients (torch), not their sum (Keras).
        in_bfloat16: see there.
        by_aspect: s = sqrt(max(1, rows / columns)).
        by_size: s = rms_rate * sqrt(max(rows, columns)).

    References:
        Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024.
        https://kellerjordan.github.io/posts/muon/
        torch.optim.Muon, keras.optimizers.Muon.
    """
    # Memory is used again as soon as may be: matrices are large, and nothing else is in slices.
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
    Return nearly U V^T of the singular value decomposition U S V^T of *matrix*.

    ::

        X = matrix / norm(matrix)
        ns_steps times:  A = X X^T;  X = ns_a * X + (ns_b * A + ns_c * A A) X

    Args:
        matrix: two dimensions.
        ns_a: coefficient of X.
        ns_b: coefficient of A X.
        ns_c: coefficient of A A X.
        ns_steps: how often.
        ns_eps: the norm's floor (in bfloat16, as torch) or what is added to it (Keras).
        in_bfloat16: whether *matrix* was made bfloat16 for this.

    References:
        Newton-Schulz iteration of fifth order, as in Jordan et al., 2024.
    """
    # The products of the wide form are smaller. torch turns a tall matrix too, so the bfloat16
    # roundings are of the same numbers.
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    norm = x.norm()
    x = x / (norm.clamp(min=ns_eps) if in_bfloat16 else norm + ns_eps)
    for _ in range(ns_steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=ns_b, alpha=ns_c), x, beta=ns_a)
    return x if wide else x.T


def _shapes(shape: Size) -> dict[str, tuple[int, ...]]:
    return {"momentum_buffer": tuple(shape)}


def _adjust_lr_fn(flags: Flags) -> dict[str, str | None]:
    """Return torch's entry for how lr follows from a matrix's shape; None is its "original"."""
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
