"""Attention: each position of a sequence gets a weighted mean over the positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.errors import short_repr
from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    LayerSpec,
    Parameter,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import PRESENT, Reach


def _of_self_attention(name: str, value: object) -> str:
    return (
        f"{name} must be left out of multihead_attention, where a position sees all positions; "
        f"self_attention has causal, rotary and dropout, got {short_repr(value)}"
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

    FORMER_PLACES: ClassVar[Mapping[str, Callable[[object], str]]] = {
        **LayerSpec.FORMER_PLACES,
        **{
            name: partial(_of_self_attention, name)
            for name in ("causal", "is_causal", "attn_mask", "rotary", "dropout")
        },
    }

    kind: Literal["multihead_attention"]
    num_heads: int = Field(ge=1, le=MAX_UNITS)
    """Number of heads, which divides the number of features."""
    bias: bool = True
    """Whether there are b and b_out."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence: the output has the shape of the input."""
        needs(self, given, SEQUENCE)
        if given.shape[-1] % self.num_heads:
            raise ShapeError(
                f"num_heads must divide the {given.shape[-1]} features, got {self.num_heads}"
            )
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on all input positions."""
        return Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return in_proj_weight (3 * features, features), in_proj_bias, out_proj.weight, ..."""
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


class SelfAttention(LayerSpec):
    """
    Attention of each position to all positions; with causal, to itself and earlier ones only.

    ::

        q, k, v = q_proj(x), k_proj(x), v_proj(x)      each divided among the heads
        y       = out_proj(softmax(q k^T / sqrt(features of a head)) v)

    With rotary, q and k are rotated before their product. A head has h features. For each i below
    h/2, the pair of features i and i + h/2 is rotated by the angle
    ``position * 10000 ** (-2 i / h)``.

    References:
        Vaswani et al., Attention Is All You Need, 2017. https://arxiv.org/abs/1706.03762
        Su et al., RoFormer: Enhanced Transformer with Rotary Position Embedding, 2021.
        https://arxiv.org/abs/2104.09864
    """

    kind: Literal["self_attention"]
    num_heads: int = Field(ge=1, le=MAX_UNITS)
    """Number of heads, which divides the number of features."""
    causal: bool = False
    """Whether a position attends only to positions before it, and to itself."""
    rotary: bool = False
    """Whether positions are encoded by turning queries and keys."""
    bias: bool = True
    """Whether the four linear layers have a bias."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability that a weight of the attention is set to 0 in training, as in dropout."""

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training, which it does with dropout."""
        return self.dropout > 0

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence: the output has the shape of the input."""
        needs(self, given, SEQUENCE)
        check_heads("num_heads", self.num_heads, given.shape[1])
        head = given.shape[1] // self.num_heads
        if self.rotary and head % 2:
            raise ShapeError(
                f"rotary needs heads with an even number of features, got {head} (the "
                f"{given.shape[1]} features divided by num_heads {self.num_heads})"
            )
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output depends on all positions; with causal, on no later ones."""
        return PRESENT if self.causal else Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight and bias of q_proj, k_proj, v_proj and out_proj."""
        width, found = given.shape[1], []
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            found.append(Parameter(f"{name}.weight", (width, width)))
            if self.bias:
                found.append(Parameter(f"{name}.bias", (width,)))
        return found

    def flops(self, given: TensorSpec) -> int:
        """Return the operations of four linear layers and of the two products of attention."""
        length, width = given.shape
        return 8 * length * width**2 + attention_flops(given)

    def saved(self, given: TensorSpec) -> int:
        """
        Return how many values the backward pass of one example needs, besides input and output.

        They are q, k, v and the heads, and with dropout also the weights of attention.
        """
        length = given.shape[0]
        weights = 3 * self.num_heads * length**2 if self.draws else self.num_heads * length
        return 4 * given.size + weights


def check_heads(name: str, heads: int, width: int) -> None:
    """Raise `ShapeError` unless *heads*, the value of the field *name*, divides *width*."""
    if width % heads:
        fit = [n for n in range(1, min(width, MAX_UNITS) + 1) if width % n == 0]
        near = max((n for n in fit if n < heads), default=1)
        raise ShapeError(
            f"{name} must divide the number of features, {width}, as {near} does, got {heads}"
        )


def attention_flops(given: TensorSpec) -> int:
    """Return the operations of queries times keys, and of the weights times values."""
    length, width = given.shape
    return 4 * length**2 * width
