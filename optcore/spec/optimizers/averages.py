"""A moving average of the parameters, kept beside them."""

from __future__ import annotations

from pydantic import Field

from optcore.spec.base import Spec
from optcore.spec.limits import MAX_COUNT


class Average(Spec):
    """
    An exponential moving average a of the parameters p, updated after every update.

    ::

        a = p                                    the first time
        a = momentum * a + (1 - momentum) * p    then
        p = a                                    every overwrite_every updates

    References:
        keras.optimizers.Optimizer(use_ema=True, ema_momentum=, ema_overwrite_frequency=).
    """

    momentum: float = Field(0.99, ge=0, le=1)
    """Share of the old average that is kept."""
    overwrite_every: int | None = Field(
        None, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"}
    )
    """How often the parameters are set to their average; null for never."""
