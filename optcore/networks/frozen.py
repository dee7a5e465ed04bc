"""Networks with parameters that are not trained, and with running statistics that do not change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Self

from torch import nn


def freeze(model: nn.Sequential, names: Collection[str], norms: Collection[str]) -> nn.Sequential:
    """
    Return *model* with the parameters *names* frozen: autograd computes no gradients of them.

    Args:
        model: the network.
        names: names of parameters.
        norms: paths of batch norms. They stay in evaluation mode when the network is set to
            training: they normalize with their running statistics, and leave them as they are.
    """
    for name, param in model.named_parameters():
        if name in names:
            param.requires_grad_(False)
    return FixedStatistics(model, norms) if norms else model


class FixedStatistics(nn.Sequential):
    """The layers of *model*, with the batch norms at the paths *norms* in evaluation mode."""

    def __init__(self, model: nn.Sequential, norms: Collection[str]) -> None:
        super().__init__(OrderedDict(model.named_children()))
        # Paths, since a list of modules would be another name for their parameters.
        self._norms = tuple(norms)
        self.train(model.training)

    def train(self, mode: bool = True) -> Self:
        """Set the network to training or evaluation; the batch norms stay in evaluation."""
        super().train(mode)
        for path in self._norms:
            self.get_submodule(path).eval()
        return self
