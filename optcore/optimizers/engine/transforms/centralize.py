"""Gradient centralization: subtracting from each row of a gradient the mean of the row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

ROWS_OF = 16
"""A gradient is centralized if its second dimension is a multiple of this, as in MindSpore."""


def is_centralized(param: Tensor) -> bool:
    """
    Return whether gradients of *param* are centralized.

    They are if *param* has two dimensions or more, and the second is a multiple of `ROWS_OF`.
    """
    return param.ndim > 1 and param.shape[1] % ROWS_OF == 0


def centralized(
    grad: Tensor,
    rows: int,
    length: int,
    param: Tensor,
    *,
    decay: float,
    limited: Callable[[Tensor], Tensor],
) -> Iterator[tuple[slice, Tensor]]:
    """
    Yield (slice, centralized values) for consecutive slices of the flat *grad*.

    For each row g of the gradient and the same row p of the parameter::

        g      = limited(g)
        values = g - mean(g) - decay * mean(p)

    The rule later adds decay * p, so that the row is g + decay * p minus the mean of this sum.

    Args:
        grad: the gradient, 1-D, row after row.
        rows: the number of rows.
        length: the approximate number of elements per slice. A slice holds whole rows.
        param: the parameter, 1-D like *grad*.
        decay: the weight decay that the rule adds later; 0 if the decay is not centralized.
        limited: a function that unscales and clips a gradient, elementwise.

    References:
        Yong et al., Gradient Centralization: A New Optimization Technique, 2020, equation 1.
        https://arxiv.org/abs/2004.01461
    """
    columns = grad.numel() // rows
    # Whole rows, at least one, since the mean of a row needs all its elements.
    at_once = max(1, length // columns)
    for first in range(0, rows, at_once):
        stretch = slice(first * columns, min(first + at_once, rows) * columns)
        # Converted to the dtype of *param*: a float32 copy is wider than the gradient.
        part = limited(grad[stretch].to(param.dtype)).view(-1, columns)
        mean = part.mean(dim=1, keepdim=True)
        if decay:
            # Only the mean of the decay is subtracted here: the rule adds the decay itself.
            mean = mean + param[stretch].view(-1, columns).mean(dim=1, keepdim=True) * decay
        yield stretch, torch.sub(part, mean).view(-1)
