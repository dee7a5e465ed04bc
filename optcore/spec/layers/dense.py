"""Fully connected layers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    VECTOR,
    LayerSpec,
    Parameter,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import JOINED, PRESENT, Reach


class Linear(LayerSpec):
    """A fully connected layer over the features of a vector, or of each position of a sequence."""

    kind: Literal["linear"]
    out_features: int = Field(ge=1, le=MAX_UNITS * 4)
    bias: bool = True

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (out_features,), or (length, out_features)."""
        needs(self, given, VECTOR, SEQUENCE, hint="insert a flatten layer before it")
        return TensorSpec((*given.shape[:-1], self.out_features), given.axes)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on all features of the same position."""
        return JOINED if given.axes == VECTOR else PRESENT

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (out, in) and bias (out,)."""
        self.output(given)
        weight = Parameter("weight", (self.out_features, given.shape[-1]))
        return [weight, Parameter("bias", (self.out_features,))] if self.bias else [weight]

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight and position."""
        return 2 * given.size * self.out_features
