"""The modules of a transformer's blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.layers.attention import Attention, by_head, joined
from optcore.networks.layers.dropout import Dropout
from optcore.networks.memory import Memory
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.transformer import TransformerDecoderLayer, TransformerEncoderLayer


def _arguments(
    layer: TransformerEncoderLayer | TransformerDecoderLayer, width: int
) -> dict[str, Any]:
    """Return the arguments of torch's module for *layer*. Its dropouts are replaced afterwards."""
    return {
        "d_model": width,
        "nhead": layer.nhead,
        "dim_feedforward": layer.dim_feedforward,
        "dropout": 0.0,
        "activation": layer.activation,
        "layer_norm_eps": layer.layer_norm_eps,
        "batch_first": True,
        "norm_first": layer.norm_first,
        "bias": layer.bias,
    }


class _Parts:
    """The parts that both layers have in common, with the names of torch's modules."""

    self_attn: nn.MultiheadAttention
    attention: Attention
    activation: Callable[[Tensor], Tensor]
    linear1: nn.Linear
    linear2: nn.Linear
    dropout: nn.Dropout
    dropout1: nn.Dropout

    def _attended(self, given: Tensor) -> Tensor:
        own = self.self_attn
        projected = F.linear(given, own.in_proj_weight, own.in_proj_bias)
        q, k, v = (by_head(each, own.num_heads) for each in projected.chunk(3, dim=-1))
        output: Tensor = self.dropout1(own.out_proj(joined(self.attention(q, k, v))))
        return output

    def _fed(self, given: Tensor, last: nn.Module) -> Tensor:
        """Return the outputs of the linear layers; *last* is the dropout after them."""
        inner = self.dropout(self.activation(self.linear1(given)))
        output: Tensor = last(self.linear2(inner))
        return output


class EncoderLayer(_Parts, nn.TransformerEncoderLayer):
    """
    torch's `TransformerEncoderLayer`, with optional causal attention, and dropout from *draws*.

    Args:
        layer: the spec.
        width: number of features.
        draws: the random numbers of dropout; None for torch's global generators.
        path: the path of the layer in its network.
    """

    def __init__(
        self, layer: TransformerEncoderLayer, width: int, draws: Draws | None, path: str
    ) -> None:
        super().__init__(**_arguments(layer, width))
        self.attention = Attention(
            causal=layer.causal, dropout=layer.dropout, draws=draws, name=f"{path}.self_attn"
        )
        for name in ("dropout", "dropout1", "dropout2"):
            setattr(self, name, Dropout(layer.dropout, draws, f"{path}.{name}"))

    def forward(self, given: Tensor) -> Tensor:  # type: ignore[override]  # without masks
        """Return the result for *given*, (batch, length, features)."""
        # Written out, since torch's method computes an evaluation by another kernel than training,
        # and draws the masks of attention weights from its global generator.
        if self.norm_first:
            given = given + self._attended(self.norm1(given))
            return given + self._fed(self.norm2(given), self.dropout2)
        given = self.norm1(given + self._attended(given))
        output: Tensor = self.norm2(given + self._fed(given, self.dropout2))
        return output


def transformer_encoder_layer(
    layer: TransformerEncoderLayer, given: TensorSpec, *, draws: Draws | None, path: str
) -> nn.Module:
    """Return the module for *layer*."""
    return EncoderLayer(layer, given.shape[1], draws, path)


class DecoderLayer(_Parts, nn.TransformerDecoderLayer):
    """
    torch's module, with dropout from *draws* and a memory that an earlier layer has computed.

    Args:
        layer: the spec.
        width: number of features.
        memory: what is attended to.
        draws: what the masks are drawn from; None for torch's global generators.
        path: the path of the layer in its network.
    """

    def __init__(
        self,
        layer: TransformerDecoderLayer,
        width: int,
        memory: Memory,
        draws: Draws | None,
        path: str,
    ) -> None:
        super().__init__(**_arguments(layer, width))
        self.memory, self.has_bias = memory, layer.bias
        self.attention, self.memory_attention = (
            Attention(causal=causal, dropout=layer.dropout, draws=draws, name=f"{path}.{name}")
            for causal, name in ((layer.causal, "self_attn"), (False, "multihead_attn"))
        )
        for name in ("dropout", "dropout1", "dropout2", "dropout3"):
            setattr(self, name, Dropout(layer.dropout, draws, f"{path}.{name}"))

    def forward(self, given: Tensor) -> Tensor:  # type: ignore[override]  # without masks
        """Return the result for *given*, (batch, length, features)."""
        memory = self.memory.read()
        if self.norm_first:
            given = given + self._attended(self.norm1(given))
            given = given + self._attended_to(self.norm2(given), memory)
            return given + self._fed(self.norm3(given), self.dropout3)
        given = self.norm1(given + self._attended(given))
        given = self.norm2(given + self._attended_to(given, memory))
        output: Tensor = self.norm3(given + self._fed(given, self.dropout3))
        return output

    def _attended_to(self, given: Tensor, memory: Tensor) -> Tensor:
        own, width = self.multihead_attn, given.shape[-1]
        of_q, of_kv = own.in_proj_weight.split([width, 2 * width])
        biases = own.in_proj_bias.split([width, 2 * width]) if self.has_bias else (None, None)
        q = by_head(F.linear(given, of_q, biases[0]), own.num_heads)
        projected = F.linear(memory, of_kv, biases[1])
        k, v = (by_head(each, own.num_heads) for each in projected.chunk(2, dim=-1))
        output: Tensor = self.dropout2(own.out_proj(joined(self.memory_attention(q, k, v))))
        return output


def transformer_decoder_layer(
    layer: TransformerDecoderLayer,
    given: TensorSpec,
    memory: Memory,
    *,
    draws: Draws | None,
    path: str,
) -> nn.Module:
    """Return the module for *layer*, which attends to *memory*."""
    return DecoderLayer(layer, given.shape[1], memory, draws, path)
