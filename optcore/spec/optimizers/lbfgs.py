"""L-BFGS."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Dialect
from optcore.spec.optimizers.base import OptimizerSpec


class Lbfgs(OptimizerSpec):
    """
    A quasi-Newton method that looks at the loss several times per step.

    ::

        d = -H g      H from the last history_size differences of p and of g
        p = p + a d   a = lr, or found by a line search

    Each step evaluates the model up to max_eval times on the same batch, so it is for large
    batches and smooth losses. Computed by torch's own optimizer.

    References:
        Liu and Nocedal, On the Limited Memory BFGS Method for Large Scale Optimization, 1989.
        torch.optim.LBFGS.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch",)

    kind: Literal["lbfgs"]
    lr: float = Field(1.0, gt=0)
    """Learning rate."""
    max_iter: int = Field(20, ge=1)
    """Iterations per step."""
    max_eval: int | None = Field(None, ge=1)
    """Evaluations of the loss per step; null for 1.25 * max_iter."""
    tolerance_grad: float = Field(1e-7, ge=0)
    """A step ends when the largest coordinate of the gradient is below this."""
    tolerance_change: float = Field(1e-9, ge=0)
    """A step ends when loss or parameters move less than this."""
    history_size: int = Field(100, ge=1)
    """How many differences are kept."""
    line_search_fn: Literal["strong_wolfe"] | None = None
    """How the length of a step is found; null for lr as it is."""
