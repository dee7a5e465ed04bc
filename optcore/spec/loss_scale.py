"""Loss scale: a factor for the loss, so that small gradients do not become 0 in float16."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from optcore.spec.base import Dialect, Spec
from optcore.spec.limits import MAX_COUNT

STARTS: dict[Dialect, float] = {"keras": 2.0**15, "mindspore": 2.0**24}
"""Maps a dialect to its first loss scale; all other dialects start from `START`."""
MAX_SCALE = 2.0**127
"""The largest power of two that a float32 holds."""
START = 2.0**16
"""First loss scale of torch's and Paddle's GradScaler."""


class FixedLossScale(Spec):
    """
    The same scale at every step.

    References:
        mindspore.amp.FixedLossScaleManager.
    """

    kind: Literal["fixed"]
    # MindSpore's defaults, both.
    scale: float = Field(128.0, gt=0, le=MAX_SCALE)
    """Factor that multiplies the loss."""
    drop_overflow: bool = True
    """Whether an update is skipped when its gradient is not finite."""


class DynamicLossScale(Spec):
    """
    A scale that grows while gradients are finite, and falls when a gradient is not finite.

    ::

        a gradient is not finite            the update is skipped; scale = scale * backoff
        *window* finite gradients in a row  scale = scale * growth

    In dialect mindspore the scale never falls below 1. In every dialect the scale stays within the
    range of float32. After 200 steps in a row without a finite gradient, the run ends as diverged.

    References:
        Micikevicius et al., Mixed Precision Training, 2018, section 3.2.
        https://arxiv.org/abs/1710.03740
        torch.amp.GradScaler, paddle.amp.GradScaler, keras LossScaleOptimizer,
        mindspore.nn.DynamicLossScaleUpdateCell.
    """

    kind: Literal["dynamic"]
    start: float | None = Field(None, ge=1, le=MAX_SCALE)
    """First scale; null for the default of the optimizer's dialect: 2^24 in mindspore, 32768 in
    keras, 65536 in the others."""
    # growth, backoff and window have the same defaults in torch, Paddle, Keras and MindSpore.
    growth: float = Field(2.0, gt=1)
    """Factor that multiplies the scale after *window* finite gradients in a row."""
    backoff: float = Field(0.5, gt=0, lt=1)
    """Factor that multiplies the scale when a gradient is not finite."""
    window: int = Field(2000, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"})
    """Number of finite gradients in a row after which the scale grows."""


AnyLossScale = Annotated[FixedLossScale | DynamicLossScale, Field(discriminator="kind")]
"""Any loss scale, selected by `kind`."""


def first_scale(spec: FixedLossScale | DynamicLossScale | None, dialect: Dialect) -> float:
    """Return the loss scale at the first update; 1 if *spec* is None."""
    match spec:
        case None:
            return 1.0
        case FixedLossScale():
            return spec.scale
        case DynamicLossScale():
            return STARTS.get(dialect, START) if spec.start is None else spec.start
