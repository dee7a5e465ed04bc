"""Modules of vision transformers: patches, a class token, and the choice of a position."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn

from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.patches import ClassToken, PatchEmbedding, Select


class PatchEmbeddingModule(nn.Conv2d):
    """Map each patch of an image to a vector."""

    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors, (batch, patches, features)."""
        return super().forward(input).flatten(2).transpose(1, 2)


class ClassTokenModule(nn.Module):
    """Put a trained vector of *features* numbers, 0 at first, before each sequence."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(features))

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* with the class token before each sequence."""
        # Under autocast, *given* may have 16 bits: `cat` would return all of it as float32.
        token = self.weight.to(given.dtype).expand(len(given), 1, -1)
        return torch.cat([token, given], 1)


class SelectModule(nn.Module):
    """Return the vector at the position *index* of each sequence."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, given: Tensor) -> Tensor:
        """Return the vectors, (batch, features)."""
        return given[:, self.index]

    def extra_repr(self) -> str:
        """Return what `repr` shows of the layer."""
        return f"index={self.index}"


def patch_embedding(layer: PatchEmbedding, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*, initialised as in torchvision's vision transformer."""
    side = layer.patch_size
    found = PatchEmbeddingModule(given.shape[0], layer.features, side, side)
    nn.init.trunc_normal_(found.weight, std=sqrt(1 / (given.shape[0] * side * side)))
    assert found.bias is not None
    nn.init.zeros_(found.bias)
    return found


def class_token(layer: ClassToken, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    return ClassTokenModule(given.shape[-1])


def select(layer: Select) -> nn.Module:
    """Return the module for *layer*."""
    return SelectModule(layer.index)
