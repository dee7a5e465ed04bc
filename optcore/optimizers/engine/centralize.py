"""Gradient centralization: rows of a gradient without their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

ROWS_OF = 16
"""MindSpore centralizes only where the second dimension is a multiple of this."""


def is_centralized(param: Tensor) -> bool:
    """Return whether the gradient of *param* is centralized where that is wanted."""
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
    Yield stretches of the flat *grad* and what they are without the means of their rows.

    ::

        grad[i] = limited(grad[i])
        grad[i] = grad[i] - mean(grad[i]) - decay * mean(param[i])

    so that adding decay * param afterwards gives a centralized sum.

    Args:
        grad: 1-D, rows one after another.
        rows: how many there are.
        length: about how many elements to make at a time.
        param: the parameter, flat as *grad* is.
        decay: the weight decay that is added later and centralized too; 0 for none.
        limited: unscales and clips; elementwise.

    References:
        Yong et al., Gradient Centralization: A New Optimization Technique, 2020, equation 1.
        https://arxiv.org/abs/2004.01461
    """
    columns = grad.numel() // rows
    # Whole rows, and one at least, since a mean needs all of its row.
    at_once = max(1, length // columns)
    for first in range(0, rows, at_once):
        stretch = slice(first * columns, min(first + at_once, rows) * columns)
        # In the dtype of what is updated: with float32 copies the gradient has fewer digits.
        part = limited(grad[stretch].to(param.dtype)).view(-1, columns)
        mean = part.mean(dim=1, keepdim=True)
        if decay:
            # The mean of a sum is the sum of the means, so the decay itself is left to the rule.
            mean = mean + param[stretch].view(-1, columns).mean(dim=1, keepdim=True) * decay
        yield stretch, torch.sub(part, mean).view(-1)
