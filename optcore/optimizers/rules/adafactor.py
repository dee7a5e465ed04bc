"""Adafactor: Adam that stores one mean square per row and per column of a matrix."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Size, Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule

LAST = (-1, -2)
"""The dimensions over which row means and column means are taken, except in optax."""


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
    old_share: float,
    step: float,
    momentum: bool,
    eps1_on_square: bool,
    eps1_of_dtype: bool,
    scale_parameter: bool,
    scaled_decay: bool,
    decay_without_lr: bool,
    largest_dimensions: bool,
) -> tuple[Tensor, ...]:
    """
    Return *param* and *slots* after one Adafactor update.

    Writing R for row_var, C for col_var, V for variance and m for exp_avg::

        R = (1 - fresh) * R + fresh * mean(grad * grad, over columns)
        C = (1 - fresh) * C + fresh * mean(grad * grad, over rows)
        V = R * C / mean(R)
        u = grad / sqrt(V)
        u = u / max(1, rms(u) / clip_threshold)
        a = step * max(eps2, rms(param))                a = step without scale_parameter
        m = beta1 * m + (1 - beta1) * a * u             m = a * u without momentum
        param = param - weight_decay * lr * param - m   with a in place of lr if scaled_decay,
                                                        1 in place of lr if decay_without_lr

    For a vector, V is a slot, and there are no R and C. In optax, this is also the case if there
    are fewer rows or fewer columns than `factored_from`, a field of the spec.

    Args:
        param: any shape and float dtype. If it has more than two dimensions, the last two are rows
            and columns; in optax, the two largest are rows and columns.
        grad: same shape and dtype as *param*.
        slots: row_var and col_var, or only variance; then exp_avg if *momentum*.
        lr: learning rate as configured.
        eps1: keeps the mean squares away from 0.
        eps2: lower bound of the root mean square of *param* in the formula for a.
        clip_threshold: upper bound of the root mean square of u.
        beta1: share of the old exp_avg that is kept, if *momentum*.
        weight_decay: decoupled weight decay.
        fresh: share of the new square in the means.
        old_share: share of the old means that is kept; 0 to use 1 - fresh.
        step: learning rate of this update, before it is scaled by the size of *param*.
        momentum: whether param moves by a running mean of the steps (MindSpore, optax).
        eps1_on_square: whether eps1 is added to grad * grad; if not, eps1 is the lower bound of
            sqrt(V) (torch).
        eps1_of_dtype: whether eps1 is replaced by the machine epsilon of the dtype.
        scale_parameter: whether the step is multiplied by the root mean square of *param*.
        scaled_decay: whether the decay is multiplied by a instead of lr (MindSpore).
        decay_without_lr: whether the decay is multiplied by neither lr nor a (optax).
        largest_dimensions: whether the two largest dimensions are rows and columns (optax), instead
            of the last two.

    References:
        Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost, 2018,
        Algorithms 4 and 5. https://arxiv.org/abs/1804.04235
    """
    if eps1_of_dtype:
        eps1 = torch.finfo(param.dtype).eps
    # Before the decay: torch, too, takes the norm of the parameter before it decays.
    size = step * max(eps2, rms(param)) if scale_parameter else step
    means = slots[:-1] if momentum else slots
    dims = _by_size(grad.shape) if largest_dimensions and grad.ndim > 1 else LAST
    means = _new_means(
        grad,
        means,
        fresh=fresh,
        old_share=old_share,
        added=eps1 if eps1_on_square else 0.0,
        dims=dims,
    )
    update = _inverse_root(means, 0.0 if eps1_on_square else eps1, dims).mul_(grad)
    update.mul_(size / max(1.0, rms(update) / clip_threshold))
    if momentum:
        update = torch.lerp(update, slots[-1], beta1)
        means = (*means, update)
    if weight_decay:
        rate = 1.0 if decay_without_lr else (size if scaled_decay else lr)
        param = param * (1 - weight_decay * rate)
    if momentum:
        return param - update, *means
    return update.neg_().add_(param), *means  # equal to param - update, without new memory


def rms(tensor: Tensor) -> float:
    """Return the root mean square of *tensor*."""
    return float(torch.linalg.vector_norm(tensor)) / math.sqrt(max(tensor.numel(), 1))


def _by_size(shape: Size) -> tuple[int, int]:
    """Return the indices of the two largest dimensions, largest first; if equal, last first."""
    second, largest = sorted(range(len(shape)), key=lambda i: shape[i])[-2:]
    return largest, second


def _new_means(
    grad: Tensor,
    means: tuple[Tensor, ...],
    *,
    fresh: float,
    old_share: float,
    added: float,
    dims: tuple[int, int],
) -> tuple[Tensor, ...]:
    def moved(old: Tensor, new: Tensor) -> Tensor:
        if old_share:
            return torch.add(old * old_share, new, alpha=fresh)
        return torch.lerp(old, new, fresh)

    if len(means) == 1:
        return (moved(means[0], grad * grad + added),)
    row, column = means
    # A norm gives the mean square without a tensor of the squares.
    rows, columns = (
        torch.linalg.vector_norm(grad, dim=dim, keepdim=True).square_().div_(grad.shape[dim])
        for dim in dims
    )
    return moved(row, rows + added), moved(column, columns + added)


def _inverse_root(means: tuple[Tensor, ...], floor: float, dims: tuple[int, int]) -> Tensor:
    """Return 1 / sqrt(V), with the V of `adafactor`, in new memory."""
    if len(means) == 1:
        # The bound is squared, as in torch, since it applies to V before the root is taken.
        return means[0].clamp(min=floor * floor).rsqrt_()
    row, column = means
    mean = row.mean(dim=dims[1], keepdim=True)
    if not floor:
        # The roots first: with eps1 = 1e-30 a product of two means may be 0 in float32.
        return (row / mean).rsqrt_() * column.rsqrt()
    return ((row @ column).div_(mean.clamp_(min=floor))).clamp_(min=floor * floor).rsqrt_()


def _shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    dims = LAST
    # Without factored_from, the last two dimensions are factored whatever their sizes.
    if "factored_from" in numbers and len(shape) > 1:
        dims = _by_size(shape)
    if len(shape) <= 1 or shape[dims[1]] < numbers.get("factored_from", 0):
        return {"variance": tuple(shape), "exp_avg": tuple(shape)}
    row, column = list(shape), list(shape)
    row[dims[0]] = column[dims[1]] = 1
    return {"row_var": tuple(row), "col_var": tuple(column), "exp_avg": tuple(shape)}


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    slots = {"row_var": 0.0, "col_var": 0.0, "variance": 0.0}
    return {**slots, "exp_avg": 0.0} if flags["momentum"] else slots


def _of_now(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    lr, root = numbers["lr"], 1 / t**0.5
    if flags["relative_step"]:
        lr = min(1e-6 * t if flags["warmup_init"] else 1e-2, root)
    if flags["falls_with_t"]:
        lr = min(lr, root)
    return {**_shares(t, numbers, flags), "step": lr}


def _shares(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    """Return the arguments fresh and old_share of `adafactor` for update *t*."""
    if not flags["float32_share"]:
        return {"fresh": t ** numbers["beta2_decay"], "old_share": 0.0}
    # MindSpore and optax keep the share of the old mean as a float32 tensor.
    count = np.float64(t - numbers.get("decay_offset", 0))
    # Rounded from float64, since numpy's float32 power depends on the kind of CPU.
    fresh = np.power(count, np.float64(np.float32(numbers["beta2_decay"]))).astype(np.float32)
    old_share = np.float32(1) - fresh
    if not flags["largest_dimensions"]:
        return {"fresh": 1 - float(old_share), "old_share": 0.0}
    return {"fresh": float(np.float32(1) - old_share), "old_share": float(old_share)}


ADAFACTOR = Rule(
    "adafactor",
    adafactor,
    slots=_slots,
    scalars=_of_now,
    shapes=_shapes,
    own_decay=True,
    torch_hyperparameters={"eps": ("eps1", "eps2"), "d": ("clip_threshold",)},
)
