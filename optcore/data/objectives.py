"""The functions to minimize in the task ``minimization``, in torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from optcore.spec.tasks.tasks import Objective


def function_of(objective: Objective) -> Callable[[Tensor], Tensor]:
    """
    Return the function that *objective* describes.

    It takes points, (batch, size), and returns the value at each point, (batch,).
    """
    match objective.function:
        case "quadratic":
            return _quadratic(tuple(objective.curvatures))
        case "rosenbrock":
            return rosenbrock
        case "valley":
            return lambda x: valley(x, objective.condition)


def _quadratic(curvatures: tuple[float, ...]) -> Callable[[Tensor], Tensor]:
    @cache
    def halves(dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.tensor(curvatures, dtype=dtype, device=device) / 2

    return lambda x: (halves(x.dtype, x.device) * x.square()).sum(1)


def rosenbrock(x: Tensor) -> Tensor:
    """Return Rosenbrock's function of each row of *x* (batch, size)."""
    first, second = x[:, :-1], x[:, 1:]
    return (100 * (second - first.square()).square() + (1 - first).square()).sum(1)


def valley(x: Tensor, condition: float) -> Tensor:
    """
    Return the value of the function valley at each row of *x* (batch, size).

    ::

        valley(x) = sqrt(1 + x_1^2) - 1 + condition / 2 * (x_2^2 + x_3^2 + ...)
    """
    along, across = x[:, 0].square(), x[:, 1:].square().sum(1)
    # sqrt(1 + x^2) - 1, without the difference of numbers that are nearly equal near the minimum.
    return along / ((1 + along).sqrt() + 1) + condition / 2 * across
