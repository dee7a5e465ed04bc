"""The blocks that transformers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from optcore.spec.layers.attention import attention_flops, check_heads
from optcore.spec.layers.base import (
    MAX_UNITS,
    SEQUENCE,
    LayerSpec,
    Parameter,
    Shape,
    TensorSpec,
    needs,
)
from optcore.spec.layers.memory import MemoryLayer
from optcore.spec.layers.reach import PRESENT, Reach


class TransformerLayer(LayerSpec):
    """The base of the blocks of transformers: the arguments that torch's classes have in common."""

    nhead: int = Field(ge=1, le=MAX_UNITS)
    """Number of heads, which divides the number of features."""
    dim_feedforward: int = Field(2048, ge=1, le=MAX_UNITS)
    """Number of features between the two linear layers."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Probability of all dropouts: of the weights of attention, after attention, after the
    activation and after the second linear layer."""
    activation: Literal["relu", "gelu"] = "relu"
    """Function between the two linear layers."""
    layer_norm_eps: float = Field(1e-5, gt=0)
    """Added to the variances."""
    norm_first: bool = False
    """Whether each part is normalised before it, not behind its sum."""
    bias: bool = True
    """Whether linear layers and norms have a bias."""
    causal: bool = False
    """Whether a position attends only to positions before it, and to itself."""

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training, which it does with dropout."""
        return self.dropout > 0

    def reach(self, given: TensorSpec) -> Reach:
        """Return that a position depends on all positions; with causal, on no later ones."""
        return PRESENT if self.causal else Reach.all_of(given.positions)

    def _with_biases(self, weights: Sequence[tuple[str, Shape]]) -> list[Parameter]:
        """Return *weights*, (name, shape) pairs, each with its bias behind it if there are any."""
        found = []
        for name, shape in weights:
            found.append(Parameter(name, shape))
            if self.bias:
                found.append(Parameter(name.removesuffix("weight") + "bias", shape[:1]))
        return found

    @property
    def _saved_inner(self) -> int:
        """How many values between the linear layers a position keeps for the backward pass."""
        # gelu needs its input; relu only its output, which linear2 needs too.
        return (3 if self.draws else 1 if self.activation == "relu" else 2) * self.dim_feedforward

    def _saved_weights(self, length: int) -> int:
        """Return how many weights of attention to *length* positions a position keeps."""
        return self.nhead * (3 * length if self.draws else 1)

    def _own_workspace(self, given: TensorSpec) -> int:
        """Return what self-attention takes, or the linear layers if they take more."""
        # Queries, keys, values and heads; the inner features, before and after the activation.
        attention = (4 + self.norm_first) * given.size
        return max(attention, 2 * given.shape[0] * self.dim_feedforward)


class TransformerEncoderLayer(TransformerLayer):
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

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence: the output has the shape of the input."""
        needs(self, given, SEQUENCE)
        check_heads("nhead", self.nhead, given.shape[1])
        return given

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return the parameters of self_attn, linear1, linear2, norm1 and norm2."""
        width, inner = given.shape[1], self.dim_feedforward
        weights: list[tuple[str, Shape]] = [
            ("self_attn.in_proj_weight", (3 * width, width)),
            ("self_attn.out_proj.weight", (width, width)),
            ("linear1.weight", (inner, width)),
            ("linear2.weight", (width, inner)),
            ("norm1.weight", (width,)),
            ("norm2.weight", (width,)),
        ]
        return self._with_biases(weights)

    def flops(self, given: TensorSpec) -> int:
        """Return the operations of the linear layers and of the two products of attention."""
        length, width = given.shape
        linear = 8 * length * width**2 + 4 * length * width * self.dim_feedforward
        return linear + attention_flops(given)

    def saved(self, given: TensorSpec) -> int:
        """Return what both halves keep: products, sums, activations and masks."""
        length = given.shape[0]
        attention = length * self._saved_weights(length)
        return (9 if self.draws else 7) * given.size + length * self._saved_inner + attention

    def workspace(self, given: TensorSpec) -> int:
        """Return what attention takes, or the linear layers if they take more."""
        return self._own_workspace(given)


class TransformerDecoderLayer(TransformerLayer, MemoryLayer):
    """
    Self-attention, attention to a memory, two linear layers, as torch.nn.TransformerDecoderLayer.

    ::

        norm_first = false    x = norm1(x + attention(x))
                              x = norm2(x + attention(x to memory))
                              y = norm3(x + linear2(activation(linear1(x))))
        norm_first = true     x = x + attention(norm1(x))
                              x = x + attention(norm2(x) to memory)
                              y = x + linear2(activation(linear1(norm3(x))))

    The memory is the output of an earlier layer, such as an encoder. A position attends to all of
    its positions, also with causal. The input may be queries, or any sequence of as many features.

    References:
        Vaswani et al., Attention Is All You Need, 2017. https://arxiv.org/abs/1706.03762
        torch.nn.TransformerDecoderLayer with batch_first.
    """

    kind: Literal["transformer_decoder_layer"]

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a sequence, without the memory."""
        self.check(given)
        check_heads("nhead", self.nhead, given.shape[1])
        return TensorSpec(given.shape, given.axes)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return those of self_attn, multihead_attn, linear1, linear2 and the three norms."""
        width, inner = given.shape[1], self.dim_feedforward
        weights: list[tuple[str, Shape]] = [
            ("self_attn.in_proj_weight", (3 * width, width)),
            ("self_attn.out_proj.weight", (width, width)),
            ("multihead_attn.in_proj_weight", (3 * width, width)),
            ("multihead_attn.out_proj.weight", (width, width)),
            ("linear1.weight", (inner, width)),
            ("linear2.weight", (width, inner)),
            *((f"norm{i}.weight", (width,)) for i in (1, 2, 3)),
        ]
        return self._with_biases(weights)

    def flops(self, given: TensorSpec) -> int:
        """Return the operations of the linear layers and of the products of both attentions."""
        (length, width), memory = given.shape, self.check(given).shape[0]
        linear = 12 * length * width**2 + 4 * length * width * self.dim_feedforward
        return linear + 4 * memory * width**2 + 4 * length * (length + memory) * width

    def saved(self, given: TensorSpec) -> int:
        """Return what the three parts keep: products, sums, activations and masks."""
        length, memory = given.shape[0], self.check(given)
        weights = self._saved_weights(length) + self._saved_weights(memory.shape[0])
        own = (14 if self.draws else 11) * given.size + 2 * memory.size
        return own + length * (self._saved_inner + weights)

    def workspace(self, given: TensorSpec) -> int:
        """Return what attention to the memory takes, or the other parts if they take more."""
        to_memory = (3 + self.norm_first) * given.size + 2 * self.check(given).size
        return max(to_memory, self._own_workspace(given))
