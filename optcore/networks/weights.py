"""The weights of a network by name, each parameter once even if several layers share it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """
    Return the parameters and persistent buffers of *model* by name.

    A parameter that layers share has the name that it has in the first of them.
    """
    shared = _shared(model)
    return {name: each for name, each in model.state_dict().items() if name not in shared}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy *weights*, as `weights_of` returns them, into *model*."""
    again = {name: weights[first] for name, first in _shared(model).items() if first in weights}
    model.load_state_dict({**weights, **again})


def _shared(model: nn.Module) -> dict[str, str]:
    """Return further name of a shared parameter -> its first name."""
    first = {param: name for name, param in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return {name: first[param] for name, param in every if first[param] != name}
