"""SM3: AdaGrad whose sums are kept as one number per index of each dimension."""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule

MAX_DIMENSIONS = 8
"""Maximum number of dimensions of a parameter. Each dimension has a slot."""


def sm3(
    param: Tensor,
    grad: Tensor,
    momentum_buffer: Tensor,
    *accumulators: Tensor,
    lr: float,
    momentum: float,
    eps: float,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *momentum_buffer* and *accumulators* after one SM3 update.

    Writing m for momentum_buffer and a_i for the accumulator of dimension i::

        s     = min(a_0, a_1, ...) + grad * grad
        a_i   = max(s, over all dimensions but i)
        u     = grad / sqrt(s + eps)                 0 where s is 0
        m     = momentum * m + (1 - momentum) * u
        param = param - lr * m

    For a parameter with at most one dimension, the accumulator is s itself.

    Args:
        param: any float dtype, of at most 8 dimensions; overwritten, as are the slots.
        grad: same shape and dtype as *param*.
        momentum_buffer: same shape as *param*; zeros before the first step.
        accumulators: one for each dimension, with the size 1 in all other dimensions.
        lr: learning rate.
        momentum: share of the old mean step that is kept, in [0, 1).
        eps: keeps s away from 0 under the root.

    References:
        Anil et al., Memory-Efficient Adaptive Optimization, 2019, Algorithm SM3-II.
        https://arxiv.org/abs/1901.11150
    """
    # In place: a rule that is not traced would hold further copies of a large tensor.
    total = reduce(torch.minimum, reversed(accumulators)).addcmul_(grad, grad)
    # Not on a GPU, for which the CPU would have to wait.
    known = grad.is_cpu and grad.numel() > 0
    lowest = [float(a.amin()) for a in accumulators] if known else [0.0]
    if param.ndim <= 1:
        total = total.clone()  # the accumulator itself
    else:
        torch._foreach_copy_(accumulators, _largest(total))
    # No sum is 0 once every accumulator is above 0.
    if not all(low > 0 for low in lowest):
        _make_positive(total)
    # A sum is not changed by an eps of less than half of its last digit.
    if not all(eps <= low * torch.finfo(total.dtype).eps / 4 for low in lowest):
        total.add_(eps)
    momentum_buffer.lerp_(total.rsqrt_().mul_(grad), 1 - momentum)
    return param.add_(momentum_buffer, alpha=-lr), momentum_buffer, *accumulators


def sm3_together(
    params: list[Tensor],
    grads: list[Tensor],
    momentum_buffers: list[Tensor],
    *accumulators: list[Tensor],
    lr: float,
    momentum: float,
    eps: float,
) -> None:
    """Apply `sm3` to several parameters at once; parameters and slots change in place."""
    totals = accumulators[-1]
    for others in reversed(accumulators[:-1]):
        totals = list(torch._foreach_minimum(totals, others))
    torch._foreach_addcmul_(totals, grads, grads)
    if len(accumulators) > 1:
        for total, *own in zip(totals, *accumulators, strict=True):
            torch._foreach_copy_(own, _largest(total))
    else:
        totals = list(torch._foreach_clone(totals))  # these are slots
    for total in totals:
        _make_positive(total)
    torch._foreach_add_(totals, eps)
    torch._foreach_rsqrt_(totals)
    torch._foreach_mul_(totals, grads)
    torch._foreach_lerp_(momentum_buffers, totals, 1 - momentum)
    torch._foreach_add_(params, momentum_buffers, alpha=-lr)


def _make_positive(total: Tensor) -> None:
    """Replace each 0 in *total* by infinity, so that dividing by its root gives 0."""
    # A tenth of the time of a mask.
    torch.threshold_(total, 0.0, math.inf)


def _largest(total: Tensor) -> tuple[Tensor, ...]:
    """Return, for each dimension of *total*, the maxima over all other dimensions."""
    found = []
    for axis in range(total.ndim):
        later = range(axis + 1, total.ndim)
        found.append(total.amax(dim=list(later), keepdim=True) if later else total)
        if later:  # what is left is small, and contiguous where the parameter is
            total = total.amax(dim=axis, keepdim=True)
    return tuple(found)


def _shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(
            f"a parameter of sm3 must have at most {MAX_DIMENSIONS} dimensions, got {len(shape)}"
        )
    if len(shape) <= 1:
        return {"momentum_buffer": tuple(shape), "accumulator_0": tuple(shape)}
    return {
        "momentum_buffer": tuple(shape),
        **{
            f"accumulator_{i}": tuple(size if i == j else 1 for j, size in enumerate(shape))
            for i in range(len(shape))
        },
    }


def _slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
    names = [f"accumulator_{i}" for i in range(MAX_DIMENSIONS)]
    return dict.fromkeys(["momentum_buffer", *names], 0.0)


SM3 = Rule("sm3", sm3, slots=_slots, shapes=_shapes, together=sm3_together)
