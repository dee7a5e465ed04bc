"""Adafactor: Adam whose mean square is kept as one number per row and one per column."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Size, Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def adafactor(
    param: Tensor,
    grad: Tensor,
    *slots: Tensor,
    lr: float,
    eps1: float,
    eps2: float,
    clip_threshold: float,
    beta1: float,
    weight_decay: float,
    fresh: float,
    step: float,
    momentum: bool,
    eps1_on_square: bool,
    eps1_of_dtype: bool,
    scale_parameter: bool,
    scaled_decay: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param* and *slots* after one Adafactor update.

    Writing R, C for the row and column means (a vector has V itself as a slot)::

        R = (1 - fresh) * R + fresh * mean(grad * grad, over columns)
        C = (1 - fresh) * C + fresh * mean(grad * grad, over rows)
        V = R * C / mean(R)
        u = grad / sqrt(V)
        u = u / max(1, rms(u) / clip_threshold)
        a = step * max(eps2, rms(param))                    scale_parameter, else step
        param = param - weight_decay * lr * param - a * u   lr: a if scaled_decay

    Args:
        param: any shape and float dtype; with more than two dimensions, the last two are factored.
        grad: same shape and dtype as *param*.
        slots: row_var and col_var, or variance for a vector; then exp_avg if *momentum*.
        lr: learning rate as configured.
        eps1: keeps the mean squares away from 0.
        eps2: lower bound of the root mean square of *param* in a.
        clip_threshold: upper bound of the root mean square of u.
        beta1: share of the old mean step that is kept, if *momentum*.
        weight_decay: decays param by lr * weight_decay * param.
        fresh: share of the new square in the means.
        step: learning rate of this update, before it is scaled by the size of *param*.
        momentum: whether param moves by a running mean of the steps (MindSpore).
        eps1_on_square: whether eps1 is added to grad * grad; if not, it is a lower bound (torch).
        eps1_of_dtype: whether eps1 is replaced by the machine epsilon of the dtype.
        scale_parameter: whether the step is multiplied by the root mean square of *param*.
        scaled_decay: whether the decay is multiplied by a instead of lr (MindSpore).

    References:
        Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018,
        Algorithms 4 and 5. https://arxiv.org/abs/1804.04235
    """
    if eps1_of_dtype:
        eps1 = torch.finfo(param.dtype).eps
    # Before the decay: torch, too, takes the norm of the parameter before it decays.
    size = step * max(eps2, rms(param)) if scale_parameter else step
    means = slots[:-1] if momentum else slots
    means = _new_means(grad, means, fresh=fresh, added=eps1 if eps1_on_square else 0.0)
    update = _inverse_root(means, 0.0 if eps1_on_square else eps1).mul_(grad)
    update.mul_(size / max(1.0, rms(update) / clip_threshold))
    if momentum:
        update = torch.lerp(update, slots[-1], beta1)
        means = (*means, update)
    if weight_decay:
        param = param * (1 - weight_decay * (size if scaled_decay else lr))
    if momentum:
        return param - update, *means
    return update.neg_().add_(param), *means  # the same bits, in the memory of *update*


def rms(tensor: Tensor) -> float:
    """Return the root mean square of *tensor*."""
    return float(torch.linalg.vector_norm(tensor)) / math.sqrt(max(tensor.numel(), 1))


def _new_means(
    grad: Tensor, means: tuple[Tensor, ...], *, fresh: float, added: float
) -> tuple[Tensor, ...]:
    if len(means) == 1:
        return (torch.lerp(means[0], grad * grad + added, fresh),)
    row, column = means
    # A norm makes the mean square without a tensor of the squares.
    rows = torch.linalg.vector_norm(grad, dim=-1, keepdim=True).square_().div_(grad.shape[-1])
    columns = torch.linalg.vector_norm(grad, dim=-2, keepdim=True).square_().div_(grad.shape[-2])
    return torch.lerp(row, rows + added, fresh), torch.lerp(column, columns + added, fresh)


def _inverse_root(means: tuple[Tensor, ...], floor: float) -> Tensor:
    """Return 1 / sqrt(V), in new memory."""
    if len(means) == 1:
        # Squared, as in torch: the bound applies to a square, whose root is taken next.
        return means[0].clamp(min=floor * floor).rsqrt_()
    row, column = means
    mean = row.mean(dim=-2, keepdim=True)
    if not floor:
        # The roots first: with eps1 = 1e-30 a product of two means may be 0 in float32.
        return (row / mean).rsqrt_() * column.rsqrt()
    return ((row @ column).div_(mean.clamp_(min=floor))).clamp_(min=floor * floor).rsqrt_()


def _shapes(shape: Size) -> dict[str, tuple[int, ...]]:
    if len(shape) <= 1:
        return {"variance": tuple(shape), "exp_avg": tuple(shape)}
    return {
        "row_var": (*shape[:-1], 1),
        "col_var": (*shape[:-2], 1, shape[-1]),
        "exp_avg": tuple(shape),
    }


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    slots = {"row_var": 0.0, "col_var": 0.0, "variance": 0.0}
    return {**slots, "exp_avg": 0.0} if flags["momentum"] else slots


def _of_now(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    lr, root = numbers["lr"], 1 / t**0.5
    if flags["relative_step"]:
        lr = min(1e-6 * t if flags["warmup_init"] else 1e-2, root)
    if flags["falls_with_t"]:
        lr = min(lr, root)
    fresh = t ** numbers["beta2_decay"]
    if flags["scaled_decay"]:  # MindSpore keeps 1 - fresh as a float32 tensor
        fresh = 1 - float(
            np.float32(1) - np.power(np.float32(t), np.float32(numbers["beta2_decay"]))
        )
    return {"fresh": fresh, "step": lr}


ADAFACTOR = Rule(
    "adafactor",
    adafactor,
    slots=_slots,
    scalars=_of_now,
    shapes=_shapes,
    own_decay=True,
    torch_hyperparameters={"eps": ("eps1", "eps2"), "d": ("clip_threshold",)},
)
