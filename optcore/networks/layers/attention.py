"""Modules of attention."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from optcore.spec.layers.attention import MultiheadAttention
from optcore.spec.layers.base import TensorSpec


class MultiheadAttentionModule(nn.MultiheadAttention):
    """
    Self-attention with the parameters of `torch.nn.MultiheadAttention`.

    Training and evaluation compute the same: torch's own module has another path in evaluation.
    """

    def forward(self, given: Tensor) -> Tensor:  # type: ignore[override]
        """Return the attention of *given*, (batch, length, features), to itself."""
        batch, length, features = given.shape
        projected = F.linear(given, self.in_proj_weight, self.in_proj_bias)
        heads = projected.view(batch, length, 3, self.num_heads, features // self.num_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        found = F.scaled_dot_product_attention(q, k, v)
        output: Tensor = self.out_proj(found.transpose(1, 2).reshape(batch, length, features))
        return output


def multihead_attention(layer: MultiheadAttention, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*, with the initial weights of torch's."""
    return MultiheadAttentionModule(given.shape[-1], layer.num_heads, bias=layer.bias)
