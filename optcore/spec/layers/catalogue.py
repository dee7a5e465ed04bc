"""The list of all layers. Add a new layer here and in `optcore.networks.layers.catalogue`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from optcore.packages.kinds import by_kind, with_installed
from optcore.spec.layers.activations import (
    Elu,
    Gelu,
    Hardsigmoid,
    Hardswish,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Mish,
    Prelu,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)
from optcore.spec.layers.attention import MultiheadAttention, SelfAttention
from optcore.spec.layers.base import InstalledLayer, LayerSpec
from optcore.spec.layers.blocks import Parallel, Repeat, Residual, SequentialBlock
from optcore.spec.layers.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.dropout import Dropout
from optcore.spec.layers.embedding import Embedding
from optcore.spec.layers.memory import Queries
from optcore.spec.layers.normalization import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    RmsNorm,
)
from optcore.spec.layers.patches import ClassToken, PatchEmbedding, Select
from optcore.spec.layers.point import Point
from optcore.spec.layers.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AvgPool1d,
    AvgPool2d,
    GlobalPool,
    MaxPool1d,
    MaxPool2d,
)
from optcore.spec.layers.positions import PositionEmbedding
from optcore.spec.layers.recurrent import Gru, Lstm
from optcore.spec.layers.shaping import Flatten, Permute, Reshape, Upsample
from optcore.spec.layers.squeeze_excite import SqueezeExcite
from optcore.spec.layers.transformer import TransformerDecoderLayer, TransformerEncoderLayer

AnyLayer = Annotated[
    Conv1d
    | Conv2d
    | ConvTranspose1d
    | ConvTranspose2d
    | MaxPool1d
    | MaxPool2d
    | AvgPool1d
    | AvgPool2d
    | AdaptiveAvgPool1d
    | AdaptiveAvgPool2d
    | AdaptiveMaxPool1d
    | AdaptiveMaxPool2d
    | GlobalPool
    | Linear
    | Flatten
    | Reshape
    | Permute
    | Upsample
    | Relu
    | Relu6
    | LeakyRelu
    | Prelu
    | Elu
    | Gelu
    | Silu
    | Mish
    | Softplus
    | Identity
    | Sigmoid
    | Tanh
    | Hardswish
    | Hardsigmoid
    | Softmax
    | LogSoftmax
    | Dropout
    | BatchNorm
    | LayerNorm
    | RmsNorm
    | GroupNorm
    | InstanceNorm
    | SqueezeExcite
    | Lstm
    | MultiheadAttention
    | PatchEmbedding
    | ClassToken
    | PositionEmbedding
    | Select
    | Embedding
    | Gru
    | SelfAttention
    | TransformerEncoderLayer
    | TransformerDecoderLayer
    | Queries
    | Point
    | SequentialBlock
    | Repeat
    | Residual
    | Parallel
    | InstalledLayer,
    Field(discriminator="kind"),
]
"""Any layer, selected by `kind`; installed packages may add some."""
if not TYPE_CHECKING:
    AnyLayer = with_installed(AnyLayer, "optserve.layers", InstalledLayer, ["CODE"])

for block in (SequentialBlock, Repeat, Residual, Parallel):
    block.model_rebuild(_types_namespace={"AnyLayer": AnyLayer})

LAYERS = by_kind(AnyLayer, LayerSpec)
"""Maps the name of each layer to its class."""
