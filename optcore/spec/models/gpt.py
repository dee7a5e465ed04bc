"""GPT: a transformer that predicts the next token."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Literal, Self

from pydantic import Field, model_validator

from optcore.spec.errors import reject
from optcore.spec.layers.activations import Gelu
from optcore.spec.layers.attention import SelfAttention
from optcore.spec.layers.base import MAX_UNITS
from optcore.spec.layers.blocks import Repeat, Residual
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.dropout import Dropout
from optcore.spec.layers.embedding import Embedding
from optcore.spec.layers.init import AnyInit, Normal, Zeros
from optcore.spec.layers.normalization import LayerNorm
from optcore.spec.layers.positions import PositionEmbedding
from optcore.spec.models.base import ModelSpec
from optcore.spec.tasks.tasks import Target

STD = 0.02
"""Standard deviation of GPT-2's initial weights."""


class Gpt(ModelSpec):
    """
    A transformer with a decoder only, which predicts the next token at every position.

    ::

        x = tokens[t] + positions
        x = x + attention(norm(x))                   these two lines for each
        x = x + proj(gelu(fc(norm(x))))              of *depth* blocks
        y = head(norm(x))

    The context is the length of the dataset's windows. gelu is its approximation by tanh.

    As in GPT-2, weights begin as normal numbers with a standard deviation of 0.02, and biases begin
    as 0. The weights of the layers whose outputs are added to x (out_proj and proj) have a standard
    deviation of 0.02 / sqrt(2 * depth) instead.

    References:
        Radford et al., Language Models are Unsupervised Multitask Learners, 2019 (GPT-2), section
        2.3; initial values as in transformers' GPT2PreTrainedModel (OpenAI's code has 0.01 for the
        positions).
    """

    kind: Literal["gpt"]
    width: int = Field(128, ge=1, le=MAX_UNITS)
    """Number of features of each position."""
    depth: int = Field(4, ge=1, le=1000)
    """Number of blocks."""
    heads: int = Field(4, ge=1, le=MAX_UNITS)
    """Number of heads of attention, which divides width."""
    mlp_ratio: int = Field(4, ge=1, le=64)
    """Number of features between the two linear layers of a block, divided by width."""
    positions: Literal["learned", "rotary"] = "learned"
    """How positions are encoded: by a trained vector for each, or by turning queries and keys."""
    tie_embeddings: bool = True
    """Whether the weight of the last layer is that of the embedding."""
    bias: bool = True
    """Whether linear layers and norms have a bias; the last layer has none."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropout of the embeddings, of the weights of attention, and of what is added
    to x."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.heads:
            text = f"width must be a multiple of heads, {self.heads}, got {self.width}"
            reject(["width"], text, self.width)
        if self.positions == "rotary" and self.width // self.heads % 2:
            text = (
                "width must be an even multiple of heads for rotary positions, "
                f"{self.heads}, got {self.width}"
            )
            reject(["width"], text, self.width)
        return self

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers tokens, positions, blocks, norm and head."""
        return list(_gpt(self, target.size))


@lru_cache(maxsize=64)
def _gpt(spec: Gpt, vocabulary: int) -> tuple[AnyLayer, ...]:
    normal: dict[str, AnyInit] = {"weight": Normal(kind="normal", std=STD)}
    first: list[AnyLayer] = [
        Embedding(
            kind="embedding",
            name="tokens",
            num_embeddings=vocabulary,
            embedding_dim=spec.width,
            init=normal,
        )
    ]
    if spec.positions == "learned":
        first.append(PositionEmbedding(kind="position_embedding", name="positions"))
    share = {"weight": "tokens.weight"} if spec.tie_embeddings else {}
    head = Linear(
        kind="linear",
        name="head",
        out_features=vocabulary,
        bias=False,
        share=share,
        init={} if spec.tie_embeddings else normal,
    )
    blocks = Repeat(
        kind="repeat",
        name="blocks",
        times=spec.depth,
        layers=[_attention(spec), _mlp(spec)],
        init=_initial(spec),
    )
    return (*first, *_dropout(spec), blocks, _norm(spec), head)


def _attention(spec: Gpt) -> AnyLayer:
    attention = SelfAttention(
        kind="self_attention",
        name="attention",
        num_heads=spec.heads,
        causal=True,
        rotary=spec.positions == "rotary",
        bias=spec.bias,
        dropout=spec.dropout,
    )
    layers = [_norm(spec), attention, *_dropout(spec)]
    return Residual(kind="residual", name="attention", layers=layers)


def _mlp(spec: Gpt) -> AnyLayer:
    inner = spec.width * spec.mlp_ratio
    layers = [
        _norm(spec),
        Linear(kind="linear", name="fc", out_features=inner, bias=spec.bias),
        Gelu(kind="gelu", name="gelu", approximate="tanh"),
        Linear(kind="linear", name="proj", out_features=spec.width, bias=spec.bias),
        *_dropout(spec),
    ]
    return Residual(kind="residual", name="mlp", layers=layers)


def _norm(spec: Gpt) -> AnyLayer:
    return LayerNorm(kind="layer_norm", name="norm", bias=spec.bias)


def _dropout(spec: Gpt) -> list[AnyLayer]:
    return [Dropout(kind="dropout", name="dropout", p=spec.dropout)] if spec.dropout else []


def _initial(spec: Gpt) -> dict[str, AnyInit]:
    """Return the initialisations of the linear layers in the blocks."""
    normal = Normal(kind="normal", std=STD)
    added = Normal(kind="normal", std=STD / sqrt(2 * spec.depth))
    found: dict[str, AnyInit] = {
        "attention.layers.attention.[qkv]_proj.weight": normal,
        "mlp.layers.fc.weight": normal,
        "attention.layers.attention.out_proj.weight": added,
        "mlp.layers.proj.weight": added,
    }
    return {**found, "*.bias": Zeros(kind="zeros")} if spec.bias else found
