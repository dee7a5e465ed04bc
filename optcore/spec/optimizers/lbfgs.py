"""The L-BFGS optimizer."""

from __future__ import annotations

from math import prod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families.piecewise import Constant
from optcore.spec.base import Dialect
from optcore.spec.errors import reject, short_repr
from optcore.spec.layers.base import Shape
from optcore.spec.optimizers.base import OptimizerSpec

WHAT_IT_TAKES = frozenset({"kind", "dialect", "lr"})
"""Those fields common to all optimizers that torch's LBFGS supports."""
MOST_ITERATIONS = 1000
"""Largest number of iterations in a step: a run can record and stop only between steps."""


class Lbfgs(OptimizerSpec):
    """
    A quasi-Newton method that evaluates the loss several times per step.

    ::

        d = -H g
        p = p + a d   a = lr, or found by a line search

    H approximates the inverse of the Hessian, by the last history_size differences of p and of g.
    Each step evaluates the model up to max_eval times on the same batch, so the optimizer is
    suitable for large batches and smooth losses.

    The implementation is torch's own. A spec with weight decay, clipping, groups or schedules is
    refused, since torch's LBFGS has none of these.

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
    """Largest number of iterations per step."""
    max_eval: int | None = Field(None, ge=1, le=2 * MOST_ITERATIONS)
    """Largest number of evaluations of the loss per step; null for 1.25 * max_iter."""
    tolerance_grad: float = Field(1e-7, ge=0)
    """A step ends when the largest coordinate of the gradient is below this."""
    tolerance_change: float = Field(1e-9, ge=0)
    """A step ends when the loss or the parameters change by less than this."""
    history_size: int = Field(100, ge=1, le=1000)
    """Number of past differences of p and of g that are kept."""
    line_search_fn: Literal["strong_wolfe"] | None = None
    """Line search that finds the length a of a step; null for a = lr."""

    def check_schedule(self, schedule: ScheduleSpec) -> None:
        """Raise an error if the run's *schedule* changes lr; called inside a validator."""
        still = isinstance(schedule, Constant) and schedule.factor == 1 and schedule.warmup is None
        if not still:
            reject(
                ["schedule"],
                f"schedule must be constant, with factor 1 and no warmup, since the lr of lbfgs "
                f"cannot change, got {_described(schedule)}",
                schedule.kind,
            )

    @model_validator(mode="after")
    def _torch_has_nothing_else(self) -> Self:
        # All fields but those listed: a field that is added to all optimizers later is refused
        # here until it is listed.
        for name, field in OptimizerSpec.model_fields.items():
            if name in WHAT_IT_TAKES:
                continue
            value = getattr(self, name)
            default = field.get_default(
                call_default_factory=True, validated_data={"dialect": self.dialect}
            )
            if value != default:
                # The value is dumped, so that the message shows a clip as the client wrote it.
                reject(
                    [name],
                    f"{name} must be {short_repr(default)} for lbfgs, since torch's LBFGS supports "
                    f"no other value, got {short_repr(self.model_dump(include={name})[name])}",
                    value,
                )
        return self

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape* once the history is full."""
        return 8 * self.history_size * prod(shape)


def _described(schedule: ScheduleSpec) -> str:
    if not isinstance(schedule, Constant):
        return repr(schedule.kind)
    if schedule.warmup is not None:
        return "'constant' with a warmup"
    return f"'constant' with factor {schedule.factor:g}"
