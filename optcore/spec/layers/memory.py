"""Layers that attend to the output of an earlier layer, and the trained vectors that do so."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    LayerSpec,
    Parameter,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import NOTHING, Reach

MAX_QUERIES = 65_536
"""Largest number of queries."""


class MemoryLayer(LayerSpec):
    """
    The base of layers that also take the output of an earlier layer, their memory.

    What they are asked of is a `TensorSpec` whose `memory` is that output.
    """

    memory: str = Field(min_length=1)
    """Path of an earlier layer or block whose output, a sequence of as many features, the layer
    attends to. It is before this layer in the same list, or before a block that holds this layer;
    not in another block. In a repeat, each copy attends to the layer of the same copy."""

    def check(self, given: TensorSpec) -> TensorSpec:
        """Return the memory in *given*; raise `ShapeError` unless both are sequences that fit."""
        needs(self, given, SEQUENCE)
        memory, width = given.memory, given.shape[1]
        assert memory is not None
        if memory.integers or memory.axes != SEQUENCE:
            raise ShapeError(
                f"memory must be (length, features), got {memory} from {self.memory}; layers "
                "behind it may make a sequence of it, of which the last is then the memory"
            )
        if memory.shape[1] != width:
            raise ShapeError(
                f"memory must have the {width} features of the input, got {memory} from "
                f"{self.memory}; a linear layer of {width} features behind it may be the memory"
            )
        return memory


class Queries(LayerSpec):
    """
    Return trained vectors in place of the input: the targets of a decoder, also called latents.

    ::

        y[i] = weight[i]     for each example

    They attend to layers before them, by transformer_decoder_layer with a memory. The vectors begin
    as normal numbers with a standard deviation of 0.02.

    References:
        Carion et al., End-to-End Object Detection with Transformers, 2020.
        https://arxiv.org/abs/2005.12872
        Jaegle et al., Perceiver: General Perception with Iterative Attention, 2021.
        https://arxiv.org/abs/2103.03206
    """

    kind: Literal["queries"]
    num_queries: int = Field(ge=1, le=MAX_QUERIES)
    """Number of vectors, which is the length of the output."""
    features: int = Field(ge=1, le=MAX_UNITS)
    """Number of values of each vector: as many as the memory has features."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (num_queries, features)."""
        return TensorSpec((self.num_queries, self.features), SEQUENCE)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on no input position."""
        return NOTHING

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (num_queries, features)."""
        return [Parameter("weight", (self.num_queries, self.features))]
