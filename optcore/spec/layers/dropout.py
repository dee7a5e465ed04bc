"""Dropout."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import LayerSpec


class Dropout(LayerSpec):
    """
    In training, set each value to 0 with probability p, and multiply the rest by 1/(1-p).

    The values that become 0 depend only on the seed of the run, the step, the batch within the step
    and the name of the layer.
    """

    kind: Literal["dropout"]
    p: float = Field(0.5, ge=0, lt=1)
    """Probability that a value is set to 0."""

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training, which it does if p is above 0."""
        return self.p > 0
