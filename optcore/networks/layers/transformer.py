"""The module of a transformer's block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.layers.attention import Attention, by_head, joined
from optcore.networks.layers.dropout import Dropout
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.transformer import TransformerEncoderLayer


class EncoderLayer(nn.TransformerEncoderLayer):
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
        super().__init__(
            width,
            layer.nhead,
            layer.dim_feedforward,
            dropout=0.0,
            activation=layer.activation,
            layer_norm_eps=layer.layer_norm_eps,
            batch_first=True,
            norm_first=layer.norm_first,
            bias=layer.bias,
        )
        self.attention = Attention(
            causal=layer.causal, dropout=layer.dropout, draws=draws, name=f"{path}.self_attn"
        )
        # torch's own, of p = 0, are replaced.
        for name in ("dropout", "dropout1", "dropout2"):
            setattr(self, name, Dropout(layer.dropout, draws, f"{path}.{name}"))

    def forward(self, given: Tensor) -> Tensor:  # type: ignore[override]  # without masks
        """Return the result for *given*, (batch, length, features)."""
        # Written out, since torch's method computes an evaluation by another kernel than training,
        # and draws the masks of attention weights from its global generator.
        if self.norm_first:
            given = given + self._attended(self.norm1(given))
            return given + self._fed(self.norm2(given))
        given = self.norm1(given + self._attended(given))
        output: Tensor = self.norm2(given + self._fed(given))
        return output

    def _attended(self, given: Tensor) -> Tensor:
        own = self.self_attn
        projected = F.linear(given, own.in_proj_weight, own.in_proj_bias)
        q, k, v = (by_head(each, own.num_heads) for each in projected.chunk(3, dim=-1))
        output: Tensor = self.dropout1(own.out_proj(joined(self.attention(q, k, v))))
        return output

    def _fed(self, given: Tensor) -> Tensor:
        inner = self.dropout(self.activation(self.linear1(given)))
        output: Tensor = self.dropout2(self.linear2(inner))
        return output


def transformer_encoder_layer(
    layer: TransformerEncoderLayer, given: TensorSpec, *, draws: Draws | None, path: str
) -> nn.Module:
    """Return the module for *layer*."""
    return EncoderLayer(layer, given.shape[1], draws, path)
