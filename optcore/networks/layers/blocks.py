"""Modules of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn


class ResidualModule(nn.Module):
    """Return ``layers(x) + shortcut(x)``; without shortcut, ``layers(x) + x``."""

    def __init__(self, layers: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.layers, self.shortcut = layers, shortcut

    def forward(self, given: Tensor) -> Tensor:
        """Return the sum of the outputs of layers and shortcut."""
        output: Tensor = self.layers(given) + self.shortcut(given)
        return output


class ParallelModule(nn.Module):
    """
    Join the outputs of branches that all take the input.

    Args:
        branches: the branches, which are children named 0, 1, ...
        join: how the outputs are joined.
        along: the dimension along which ``concat`` joins, with the batch as dimension 0.
    """

    def __init__(
        self,
        branches: Sequence[nn.Module],
        join: Literal["add", "multiply", "concat"],
        along: int,
    ) -> None:
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(str(i), branch)
        self.join, self.along = join, along

    def forward(self, given: Tensor) -> Tensor:
        """Return the joined outputs."""
        outputs = [branch(given) for branch in self.children()]
        if self.join == "concat":
            return torch.cat(outputs, self.along)
        found: Tensor = outputs[0]
        for output in outputs[1:]:
            # Not in place: autograd needs each factor of a product, and the output of a relu at the
            # end of a branch.
            found = found + output if self.join == "add" else found * output
        return found
