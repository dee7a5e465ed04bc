"""Attention: positions of a sequence read from each other."""

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


class MultiheadAttention(LayerSpec):
    """
    Self-attention with several heads, as torch.nn.MultiheadAttention with batch_first.

    ::

        q, k, v = the thirds of x W^T + b, each divided among the heads; d features per head
        head    = softmax(q k^T / sqrt(d)) v
        y       = (the heads, one after another) W_out^T + b_out

    References:
        Vaswani et al., Attention Is All You Need, 2017. https://arxiv.org/abs/1706.03762.
        torch.nn.MultiheadAttention.
    """

    kind: Literal["multihead_attention"]
    num_heads: int = Field(ge=1, le=MAX_UNITS)
    """Number of heads, which divides the number of features."""
    bias: bool = True
    """Whether there are b and b_out."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence."""
        needs(self, given, SEQUENCE)
        if given.shape[-1] % self.num_heads:
            raise ShapeError(
                f"num_heads must divide the {given.shape[-1]} features, got {self.num_heads}"
            )
        return given

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return in_proj_weight (3 * features, features), in_proj_bias, and those of out_proj."""
        features = given.shape[-1]
        found = [Parameter("in_proj_weight", (3 * features, features))]
        if self.bias:
            found.append(Parameter("in_proj_bias", (3 * features,)))
        found.append(Parameter("out_proj.weight", (features, features)))
        if self.bias:
            found.append(Parameter("out_proj.bias", (features,)))
        return found

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight and position, and 4 * length * length * features."""
        length, features = given.shape
        return 8 * length * features * features + 4 * length * length * features

    def saved(self, given: TensorSpec) -> int:
        """
        Return how many values the backward pass of one example needs, besides input and output.

        They are q, k, v, the heads, and the logarithm of each sum of a softmax.
        """
        return 4 * given.size + self.num_heads * given.shape[0]
