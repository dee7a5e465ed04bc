"""Vision transformers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, Self

from pydantic import Field, model_validator

from optcore.spec.errors import reject
from optcore.spec.layers.activations import Gelu, Tanh
from optcore.spec.layers.attention import MultiheadAttention
from optcore.spec.layers.base import MAX_UNITS
from optcore.spec.layers.blocks import MAX_TIMES, Repeat, Residual
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.dropout import Dropout
from optcore.spec.layers.normalization import LayerNorm
from optcore.spec.layers.patches import MAX_PATCH, ClassToken, PatchEmbedding, Select
from optcore.spec.layers.positions import PositionEmbedding
from optcore.spec.models.base import ModelSpec
from optcore.spec.tasks.tasks import Target

EPS = 1e-6
"""What torchvision's layer norms add to the variance."""


class VisionTransformer(ModelSpec):
    """
    A transformer for images, as torchvision's VisionTransformer.

    The image is divided into patches, and each is mapped to a vector of *hidden* numbers. A class
    token is put before them, and a trained vector is added to each position::

        x = x + attention(layer_norm(x))                     for each of *layers* layers
        x = x + linear(gelu(linear(layer_norm(x))))

    After these layers, another layer norm follows, and a linear layer maps the class token to the
    outputs. With *representation*, a linear layer with that many features and tanh come before the
    last layer. Layer norms have eps 1e-6. There is dropout after the positions, the attention and
    both linear layers of a layer.

    torchvision's ViT-B/16 is patch_size 16, layers 12, heads 12, hidden 768, mlp 3072, for images
    of 224 x 224. The last layer is named fc. Initial weights are those of torch's layers.

    References:
        Dosovitskiy et al., An Image is Worth 16x16 Words: Transformers for Image Recognition at
        Scale, 2020. https://arxiv.org/abs/2010.11929. torchvision.models.vision_transformer.
    """

    kind: Literal["vit"]
    patch_size: int = Field(ge=1, le=MAX_PATCH)
    """Side of a patch, in pixels; it divides height and width of the images."""
    layers: int = Field(ge=1, le=MAX_TIMES // 10)
    """Number of layers of the transformer."""
    heads: int = Field(ge=1, le=MAX_UNITS)
    """Number of heads of the attention, which divides hidden."""
    hidden: int = Field(ge=1, le=MAX_UNITS)
    """Width of the transformer: number of values at each position."""
    mlp: int | None = Field(None, ge=1, le=MAX_UNITS * 4)
    """Number of values between the two linear layers; null for 4 * hidden."""
    representation: int | None = Field(None, ge=1, le=MAX_UNITS * 4)
    """Width of the linear layer before the last, torchvision's representation_size; null for
    none."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability of dropout."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.hidden % self.heads:
            text = f"heads must divide hidden, {self.hidden}, got {self.heads}"
            reject(["heads"], text, self.heads)
        return self

    def network(self, target: Target) -> list[AnyLayer]:
        """Return conv_proj, class_token, positions, encoder, ln, (pre_logits, act,) fc."""
        return list(_network(self, target.size))


@lru_cache(maxsize=64)
def _network(spec: VisionTransformer, outputs: int) -> tuple[AnyLayer, ...]:
    layers: list[AnyLayer] = [
        PatchEmbedding(
            kind="patch_embedding",
            name="conv_proj",
            patch_size=spec.patch_size,
            features=spec.hidden,
        ),
        ClassToken(kind="class_token", name="class_token"),
        PositionEmbedding(kind="position_embedding", name="positions"),
        _dropout("dropout", spec),
        Repeat(kind="repeat", name="encoder", times=spec.layers, layers=list(_layer(spec))),
        _norm("ln"),
        Select(kind="select", name="token"),
    ]
    if spec.representation is not None:
        layers += [
            Linear(kind="linear", name="pre_logits", out_features=spec.representation),
            Tanh(kind="tanh", name="act"),
        ]
    return (*layers, Linear(kind="linear", name="fc", out_features=outputs))


def _layer(spec: VisionTransformer) -> Iterator[AnyLayer]:
    """Yield the two residual blocks of one layer of the transformer."""
    heads = MultiheadAttention(
        kind="multihead_attention", name="self_attention", num_heads=spec.heads
    )
    attention: list[AnyLayer] = [_norm("ln_1"), heads, _dropout("dropout", spec)]
    yield Residual(kind="residual", name="attention", layers=attention)
    width = 4 * spec.hidden if spec.mlp is None else spec.mlp
    perceptron: list[AnyLayer] = [
        _norm("ln_2"),
        Linear(kind="linear", name="fc1", out_features=width),
        Gelu(kind="gelu", name="gelu"),
        _dropout("dropout1", spec),
        Linear(kind="linear", name="fc2", out_features=spec.hidden),
        _dropout("dropout2", spec),
    ]
    yield Residual(kind="residual", name="mlp", layers=perceptron)


def _norm(name: str) -> LayerNorm:
    return LayerNorm(kind="layer_norm", name=name, eps=EPS)


def _dropout(name: str, spec: VisionTransformer) -> Dropout:
    return Dropout(kind="dropout", name=name, p=spec.dropout)
