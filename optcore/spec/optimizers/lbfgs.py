"""L-BFGS."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families.piecewise import Constant
from optcore.spec.base import Dialect
from optcore.spec.errors import reject, short_repr
from optcore.spec.optimizers.base import OptimizerSpec

WHAT_IT_TAKES = frozenset({"kind", "dialect", "lr"})
"""Shared fields that torch's optimizer knows."""
MOST_ITERATIONS = 1000
"""Of a step, which is one row: a run is looked at between steps."""


class Lbfgs(OptimizerSpec):
    """
    A quasi-Newton method that looks at the loss several times per step.

    ::

        d = -H g      H from the last history_size differences of p and of g
        p = p + a d   a = lr, or found by a line search

    Each step evaluates the model up to max_eval times on the same batch, so it is for large
    batches and smooth losses. Computed by torch's own optimizer, which has no weight decay, no
    clipping, no groups and no schedules: they are refused.

    References:
        Liu and Nocedal, On the Limited Memory BFGS Method for Large Scale Optimization, 1989.
        torch.optim.LBFGS.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch",)
    STATE_BYTES: ClassVar[str] = "8 * history_size"
    KEEPS_WEIGHTS: ClassVar[bool] = True

    kind: Literal["lbfgs"]
    lr: float = Field(1.0, gt=0)
    """Learning rate."""
    max_iter: int = Field(20, ge=1, le=MOST_ITERATIONS)
    """Iterations per step."""
    max_eval: int | None = Field(None, ge=1, le=2 * MOST_ITERATIONS)
    """Evaluations of the loss per step; null for 1.25 * max_iter."""
    tolerance_grad: float = Field(1e-7, ge=0)
    """A step ends when the largest coordinate of the gradient is below this."""
    tolerance_change: float = Field(1e-9, ge=0)
    """A step ends when loss or parameters move less than this."""
    history_size: int = Field(100, ge=1, le=1000)
    """How many differences are kept."""
    line_search_fn: Literal["strong_wolfe"] | None = None
    """How the length of a step is found; null for lr as it is."""

    def check_schedule(self, schedule: ScheduleSpec) -> None:
        """Refuse, from inside a validator, a *schedule* of the run that moves lr."""
        still = isinstance(schedule, Constant) and schedule.factor == 1 and schedule.warmup is None
        if not still:
            reject(
                ["schedule", "kind"],
                "kind must be constant for lbfgs, whose lr nothing moves, without factor and "
                f"warmup, got {schedule.kind!r}",
                schedule.kind,
            )

    @model_validator(mode="after")
    def _torch_has_nothing_else(self) -> Self:
        # All fields but those listed: one that optimizers get later is refused here until it is
        # listed.
        for name, field in OptimizerSpec.model_fields.items():
            if name in WHAT_IT_TAKES:
                continue
            value = getattr(self, name)
            default = field.get_default(
                call_default_factory=True, validated_data={"dialect": self.dialect}
            )
            if value != default:
                # The value is dumped, so that a clip is told as the object that was written.
                reject(
                    [name],
                    f"{name} must be {short_repr(default)} for lbfgs, which is torch's own and has "
                    f"nothing else, got {short_repr(self.model_dump(include={name})[name])}",
                    value,
                )
        return self
