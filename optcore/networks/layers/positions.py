"""The module of position embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optcore.spec.layers.base import TensorSpec

STD = 0.02


class PositionEmbeddingModule(nn.Module):
    """Add a trained vector to each position."""

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, features))
        nn.init.normal_(self.weight, std=STD)

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* plus the vectors."""
        return given + self.weight


def position_embedding(given: TensorSpec) -> nn.Module:
    """Return the module for sequences with the length and the features of *given*."""
    length, features = given.shape
    return PositionEmbeddingModule(length, features)
