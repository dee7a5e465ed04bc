"""Build the torch module of a single layer from its spec; `optcore.networks.build` has blocks."""

from __future__ import annotations

from typing import assert_never

from torch import nn

from optcore.networks.draws import Draws
from optcore.networks.layers.activations import hardsigmoid
from optcore.networks.layers.attention import multihead_attention, self_attention
from optcore.networks.layers.convolution import convolution
from optcore.networks.layers.dropout import Dropout as DropoutModule
from optcore.networks.layers.installed import installed
from optcore.networks.layers.normalization import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)
from optcore.networks.layers.patches import class_token, patch_embedding, select
from optcore.networks.layers.point import point
from optcore.networks.layers.pooling import adaptive_pool, global_pool, pool
from optcore.networks.layers.positions import position_embedding
from optcore.networks.layers.queries import queries
from optcore.networks.layers.recurrent import gru, lstm
from optcore.networks.layers.shaping import permute, reshape, upsample
from optcore.networks.layers.squeeze_excite import squeeze_excite
from optcore.networks.layers.transformer import transformer_decoder_layer, transformer_encoder_layer
from optcore.networks.memory import Memory
from optcore.spec.layers import activations
from optcore.spec.layers.attention import MultiheadAttention, SelfAttention
from optcore.spec.layers.base import InstalledLayer, TensorSpec
from optcore.spec.layers.blocks import Parallel, Repeat, Residual, SequentialBlock
from optcore.spec.layers.catalogue import AnyLayer
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

Block = SequentialBlock | Repeat | Residual | Parallel


def module(  # noqa: PLR0912  a case per kind of layer
    layer: AnyLayer,
    given: TensorSpec,
    *,
    inplace: bool = False,
    draws: Draws | None = None,
    path: str = "",
    memory: Memory | None = None,
) -> nn.Module:
    """
    Return the torch module for *layer*, with torch's initial weights.

    Args:
        layer: spec of the layer, which is no block (`optcore.networks.build` builds those).
        given: the kind and shape of the layer's input, without the batch.
        inplace: whether an activation may overwrite its input.
        draws: the source of random numbers in training; None for torch's global generators.
        path: the path of the layer in its network.
        memory: what the layer attends to besides, if it is a `MemoryLayer`.
    """
    match layer:
        case Conv1d() | Conv2d() | ConvTranspose1d() | ConvTranspose2d():
            return convolution(layer, given)
        case MaxPool1d() | MaxPool2d() | AvgPool1d() | AvgPool2d():
            return pool(layer, given)
        case AdaptiveAvgPool1d() | AdaptiveAvgPool2d() | AdaptiveMaxPool1d() | AdaptiveMaxPool2d():
            return adaptive_pool(layer, given)
        case GlobalPool():
            return global_pool(layer, given)
        case Linear():
            return nn.Linear(given.shape[-1], layer.out_features, bias=layer.bias)
        case Flatten():
            return nn.Flatten()
        case Reshape():
            return reshape(layer, given)
        case Permute():
            return permute(layer, given)
        case Upsample():
            return upsample(layer, given)
        case Dropout():
            return DropoutModule(layer.p, draws, path)
        case BatchNorm():
            return batch_norm(layer, given)
        case LayerNorm():
            return layer_norm(layer, given)
        case RmsNorm():
            return rms_norm(layer, given)
        case GroupNorm():
            return group_norm(layer, given)
        case InstanceNorm():
            return instance_norm(layer, given)
        case SqueezeExcite():
            return squeeze_excite(layer, given)
        case Lstm():
            return lstm(layer, given, draws=draws, path=path)
        case MultiheadAttention():
            return multihead_attention(layer, given)
        case PatchEmbedding():
            return patch_embedding(layer, given)
        case ClassToken():
            return class_token(layer, given)
        case PositionEmbedding():
            return position_embedding(given)
        case Select():
            return select(layer)
        case Embedding():
            return nn.Embedding(layer.num_embeddings, layer.embedding_dim, sparse=layer.sparse)
        case Gru():
            return gru(layer, given, draws=draws, path=path)
        case SelfAttention():
            return self_attention(layer, given, draws=draws, path=path)
        case TransformerEncoderLayer():
            return transformer_encoder_layer(layer, given, draws=draws, path=path)
        case TransformerDecoderLayer():
            assert memory is not None
            return transformer_decoder_layer(layer, given, memory, draws=draws, path=path)
        case Queries():
            return queries(layer)
        case Point():
            return point(layer, given)
        case InstalledLayer():
            return installed(layer, given, draws, path)
        case SequentialBlock() | Repeat() | Residual() | Parallel():
            raise TypeError(f"layer must be a single layer, got the block {layer.kind}")
        case _:
            return activation(layer, given, inplace=inplace)


Activation = (
    activations.Relu
    | activations.Relu6
    | activations.Prelu
    | activations.Mish
    | activations.Softplus
    | activations.Identity
    | activations.LeakyRelu
    | activations.Elu
    | activations.Gelu
    | activations.Silu
    | activations.Sigmoid
    | activations.Tanh
    | activations.Hardswish
    | activations.Hardsigmoid
    | activations.Softmax
    | activations.LogSoftmax
)


def activation(  # noqa: PLR0912  a case per kind of layer
    layer: Activation, given: TensorSpec, *, inplace: bool
) -> nn.Module:
    """Return the torch module for an activation; the arguments are those of `module`."""
    # Dimension 0 is the batch. The features are the last dimension, channels the first one.
    along = 1 if given.axes[0] in ("channels", "features") else -1
    match layer:
        case activations.Relu():
            return nn.ReLU(inplace=inplace)
        case activations.Relu6():
            return nn.ReLU6()
        case activations.Prelu():
            return nn.PReLU(layer.num_parameters)
        case activations.Mish():
            return nn.Mish()
        case activations.Softplus():
            return nn.Softplus(layer.beta, layer.threshold)
        case activations.Identity():
            return nn.Identity()
        case activations.LeakyRelu():
            return nn.LeakyReLU(layer.negative_slope)
        case activations.Elu():
            return nn.ELU(layer.alpha)
        case activations.Gelu():
            return nn.GELU(layer.approximate)
        case activations.Silu():
            return nn.SiLU()
        case activations.Sigmoid():
            return nn.Sigmoid()
        case activations.Tanh():
            return nn.Tanh()
        case activations.Hardswish():
            return nn.Hardswish()
        case activations.Hardsigmoid():
            return hardsigmoid(layer)
        case activations.Softmax():
            return nn.Softmax(dim=along)
        case activations.LogSoftmax():
            return nn.LogSoftmax(dim=along)
        case _:
            assert_never(layer)
