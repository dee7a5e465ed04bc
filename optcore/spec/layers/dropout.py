"""Dropout."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import LayerSpec


class Dropout(LayerSpec):
    """
    In training, set each value to 0 with probability p, and multiply the rest by 1/(1-p).

    Which values become 0 follows from the seed of the run, the step, the batch of the step and the
    name of the layer.
    """

    kind: Literal["dropout"]
    p: float = Field(0.5, ge=0, lt=1)
    """Probability that a value is set to 0."""

    @property
    def draws(self) -> bool:
        """Whether any value may be set to 0."""
        return self.p > 0
