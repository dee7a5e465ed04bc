"""Trained vectors for the positions of a sequence."""

from __future__ import annotations

from typing import Literal

from optcore.spec.layers.base import SEQUENCE, LayerSpec, Parameter, TensorSpec, needs


class PositionEmbedding(LayerSpec):
    """
    Add a trained vector to each position of a sequence.

    ::

        y[i] = x[i] + weight[i]

    The vectors begin as normal numbers with a standard deviation of 0.02.
    """

    kind: Literal["position_embedding"]

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence: the output has the shape of the input."""
        needs(self, given, SEQUENCE)
        return given

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (length, features)."""
        return [Parameter("weight", given.shape)]
