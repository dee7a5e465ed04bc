"""The block that transformers are made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.attention import attention_flops, check_heads
from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    LayerSpec,
    Parameter,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import PRESENT, Reach


class TransformerEncoderLayer(LayerSpec):
    """
    Self-attention, then two linear layers, as torch.nn.TransformerEncoderLayer with batch_first.

    ::

        norm_first = false    x = norm1(x + attention(x))
                              y = norm2(x + linear2(activation(linear1(x))))
        norm_first = true     x = x + attention(norm1(x))
                              y = x + linear2(activation(linear1(norm2(x))))

    With causal, it is a block of a transformer that has only a decoder, such as GPT.

    References:
        Vaswani et al., Attention Is All You Need, 2017. https://arxiv.org/abs/1706.03762
        Xiong et al., On Layer Normalization in the Transformer Architecture, 2020 (norm_first).
        https://arxiv.org/abs/2002.04745
    """

    kind: Literal["transformer_encoder_layer"]
    nhead: int = Field(ge=1, le=MAX_UNITS)
    """Number of heads, which divides the number of features."""
    dim_feedforward: int = Field(2048, ge=1, le=MAX_UNITS)
    """Number of features between the two linear layers."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Probability of the four dropouts: of the weights of attention, after attention, after the
    activation and after the second linear layer."""
    activation: Literal["relu", "gelu"] = "relu"
    """Function between the two linear layers."""
    layer_norm_eps: float = Field(1e-5, gt=0)
    """Added to the variances."""
    norm_first: bool = False
    """Whether each half is normalised before it, not behind its sum."""
    bias: bool = True
    """Whether linear layers and norms have a bias."""
    causal: bool = False
    """Whether a position attends only to positions before it, and to itself."""

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training, which it does with dropout."""
        return self.dropout > 0

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence."""
        needs(self, given, SEQUENCE)
        check_heads("nhead", self.nhead, given.shape[1])
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output depends on all positions; with causal, on no later ones."""
        return PRESENT if self.causal else Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return the parameters of self_attn, linear1, linear2, norm1 and norm2."""
        width, inner = given.shape[1], self.dim_feedforward
        weights: list[tuple[str, tuple[int, ...]]] = [
            ("self_attn.in_proj_weight", (3 * width, width)),
            ("self_attn.out_proj.weight", (width, width)),
            ("linear1.weight", (inner, width)),
            ("linear2.weight", (width, inner)),
            ("norm1.weight", (width,)),
            ("norm2.weight", (width,)),
        ]
        found = []
        for name, shape in weights:
            found.append(Parameter(name, shape))
            if self.bias:
                found.append(Parameter(name.removesuffix("weight") + "bias", shape[:1]))
        return found

    def flops(self, given: TensorSpec) -> int:
        """Return the operations of the linear layers and of the two products of attention."""
        length, width = given.shape
        linear = 8 * length * width**2 + 4 * length * width * self.dim_feedforward
        return linear + attention_flops(given)

    def saved(self, given: TensorSpec) -> int:
        """Return what both halves keep: products, sums, activations and masks."""
        length = given.shape[0]
        # gelu needs its input; relu only its output, which linear2 needs too.
        inner = (3 if self.draws else 1 if self.activation == "relu" else 2) * self.dim_feedforward
        weights = self.nhead * (3 * length if self.draws else 1)
        return (8 if self.draws else 6) * given.size + length * (inner + weights)
