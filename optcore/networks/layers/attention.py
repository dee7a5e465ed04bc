"""Modules of attention; their dropout takes its random numbers from `Draws`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.layers.dropout import Dropout
from optcore.spec.layers.attention import MultiheadAttention, SelfAttention
from optcore.spec.layers.base import TensorSpec


class MultiheadAttentionModule(nn.MultiheadAttention):
    """
    Self-attention with the parameters of `torch.nn.MultiheadAttention`.

    The same operations are used in training and in evaluation. torch's own module uses other
    operations in evaluation.
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
    """Return the module for *layer*, initialised as torch initialises its own module."""
    return MultiheadAttentionModule(given.shape[-1], layer.num_heads, bias=layer.bias)


BASE = 10_000
"""Base of the angles of rotary positions."""


class Attention(nn.Module):
    """
    Compute softmax(q k^T / sqrt(features)) v for each head.

    Args:
        causal: whether a position attends only to positions before it, and to itself.
        dropout: probability that a weight becomes 0 in training.
        draws: the random numbers of dropout; None for torch's global generators.
        name: name of the layer, unique in its network.
    """

    def __init__(self, *, causal: bool, dropout: float, draws: Draws | None, name: str) -> None:
        super().__init__()
        self.causal = causal
        self.dropout = Dropout(dropout, draws, name)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the result for *q*, *k* and *v*, each (batch, heads, length, features)."""
        if not (self.training and self.dropout.p):
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        # torch's function would draw its masks from the global generators. Like it, this divides
        # before it multiplies: scores of float16 numbers overflow sooner.
        root = q.shape[-1] ** 0.25
        scores = (q / root) @ (k / root).transpose(-2, -1)
        if self.causal:
            length = q.shape[-2]
            later = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        weights = scores.softmax(-1)
        # Of three dimensions: those of four are images, whose masks have another order.
        dropped: Tensor = self.dropout(weights.flatten(0, 1)).view_as(weights)
        return dropped.to(v.dtype) @ v


class Rotary(nn.Module):
    """
    Turn pairs of features by angles that grow with the position.

    Args:
        length: number of positions.
        features: number of features of a head, which is even.
    """

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        # In float64: the angle of position 4,096 would be off by up to 2e-4 in float32. On the CPU,
        # since a network that is built on the meta device has no values.
        steps = torch.arange(0, features, 2, dtype=torch.float64, device="cpu") / features
        angles = torch.outer(torch.arange(length, device="cpu").double(), BASE**-steps)
        # Not buffers: they are no state. Twice, for the first and the second feature of each pair.
        self._cos, self._sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        self._cast: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def forward(self, given: Tensor) -> Tensor:
        """Return *given*, (batch, heads, length, features), with its pairs of features turned."""
        # Converted once per dtype: autocast may pass another one than the parameters have.
        key = (given.device, given.dtype)
        if key not in self._cast:
            self._cast[key] = (self._cos.to(given), self._sin.to(given))
        cos, sin = self._cast[key]
        first, second = given.chunk(2, dim=-1)
        return given * cos + torch.cat((-second, first), dim=-1) * sin


class SelfAttentionModule(nn.Module):
    """
    Attention of a sequence to itself.

    Args:
        width: number of features.
        heads: number of heads.
        bias: whether the linear layers have a bias.
        attention: computes the attention of all heads.
        rotary: encodes the positions in queries and keys; None for no encoding.
    """

    def __init__(
        self, width: int, heads: int, *, bias: bool, attention: Attention, rotary: Rotary | None
    ) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width, bias=bias)
        self.k_proj = nn.Linear(width, width, bias=bias)
        self.v_proj = nn.Linear(width, width, bias=bias)
        self.out_proj = nn.Linear(width, width, bias=bias)
        self.attention, self.rotary = attention, rotary

    def forward(self, given: Tensor) -> Tensor:
        """Return the result for *given*, (batch, length, features)."""
        q, k, v = (by_head(each(given), self.heads) for each in self._projections())
        if self.rotary is not None:
            q, k = self.rotary(q), self.rotary(k)
        output: Tensor = self.out_proj(joined(self.attention(q, k, v)))
        return output

    def _projections(self) -> tuple[nn.Module, ...]:
        return self.q_proj, self.k_proj, self.v_proj


def by_head(given: Tensor, heads: int) -> Tensor:
    """Reshape (batch, length, features) to (batch, heads, length, features of a head)."""
    split: Tensor = given.unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def joined(given: Tensor) -> Tensor:
    """Reshape (batch, heads, length, features of a head) to (batch, length, features)."""
    return given.transpose(1, 2).flatten(2)


def self_attention(
    layer: SelfAttention, given: TensorSpec, *, draws: Draws | None, path: str
) -> nn.Module:
    """Return the module for *layer*."""
    length, width = given.shape
    return SelfAttentionModule(
        width,
        layer.num_heads,
        bias=layer.bias,
        attention=Attention(
            causal=layer.causal, dropout=layer.dropout, draws=draws, name=f"{path}.attention"
        ),
        rotary=Rotary(length, width // layer.num_heads) if layer.rotary else None,
    )
