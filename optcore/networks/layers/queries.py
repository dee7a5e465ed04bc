"""The module of trained vectors that take the place of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optcore.spec.layers.memory import Queries

STD = 0.02


class QueriesModule(nn.Module):
    """Return trained vectors, the same for each example."""

    def __init__(self, number: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(number, features))
        nn.init.normal_(self.weight, std=STD)

    def forward(self, given: Tensor) -> Tensor:
        """Return the vectors for each of the examples in *given*, whatever these are."""
        return self.weight.expand(len(given), -1, -1)


def queries(layer: Queries) -> nn.Module:
    """Return the module for *layer*."""
    return QueriesModule(layer.num_queries, layer.features)
