"""Modules of recurrent layers; their dropout takes its random numbers from `Draws`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.layers.dropout import Dropout
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.recurrent import Gru, Lstm


class LstmModule(nn.LSTM):
    """
    torch's LSTM, which returns the outputs of all positions and no states.

    On a CPU in precision fp16, it computes in float32, as torch's GRU does: oneDNN has no LSTM in
    float16.

    Args:
        layer: the spec of the layer.
        features: the number of features of each position.
        draws: the random numbers of dropout; None for torch's global generators.
        path: the path of the layer in its network.
    """

    def __init__(self, layer: Lstm, features: int, draws: Draws | None, path: str) -> None:
        super().__init__(
            *(features, layer.hidden_size, layer.num_layers, layer.bias),
            batch_first=True,
            bidirectional=layer.bidirectional,
        )
        self._between = _dropouts(layer, draws, path)

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """Return the outputs for *input*, (batch, length, features)."""
        in_float16 = (
            input.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.float16
        )
        if not in_float16:
            return self._computed(input)
        with torch.autocast("cpu", enabled=False):
            return self._computed(input.float())

    def _computed(self, given: Tensor) -> Tensor:
        # Where no mask is drawn, one call of torch's kernel computes all layers.
        if not (self.training and self._between):
            output: Tensor = super().forward(given)[0]
            return output
        return _layer_by_layer(self, self._alone, self._between, given)

    def _alone(self, given: Tensor, state: Tensor, weights: list[Tensor]) -> Tensor:
        # As nn.LSTM calls it: one layer, and no dropout.
        fixed = (self.bias, 1, 0.0, True, self.bidirectional, True)
        return torch.lstm(given, (state, state), weights, *fixed)[0]


class GruModule(nn.GRU):
    """
    torch's GRU, which returns the outputs of all positions and no states.

    Args:
        layer: the spec of the layer.
        features: the number of features of each position.
        draws: the random numbers of dropout; None for torch's global generators.
        path: the path of the layer in its network.
    """

    def __init__(self, layer: Gru, features: int, draws: Draws | None, path: str) -> None:
        super().__init__(
            *(features, layer.hidden_size, layer.num_layers, layer.bias),
            batch_first=True,
            bidirectional=layer.bidirectional,
        )
        self._between = _dropouts(layer, draws, path)

    def forward(self, given: Tensor) -> Tensor:  # type: ignore[override]  # one result, not two
        """Return the outputs for *given*, (batch, length, features)."""
        if not (self.training and self._between):
            output: Tensor = super().forward(given)[0]
            return output
        return _layer_by_layer(self, self._alone, self._between, given)

    def _alone(self, given: Tensor, state: Tensor, weights: list[Tensor]) -> Tensor:
        # As nn.GRU calls it: one layer, and no dropout.
        fixed = (self.bias, 1, 0.0, True, self.bidirectional, True)
        return torch.gru(given, state, weights, *fixed)[0]


def lstm(layer: Lstm, given: TensorSpec, *, draws: Draws | None, path: str) -> nn.Module:
    """Return the module for *layer*."""
    return LstmModule(layer, given.shape[-1], draws, path)


def gru(layer: Gru, given: TensorSpec, *, draws: Draws | None, path: str) -> nn.Module:
    """Return the module for *layer*."""
    return GruModule(layer, given.shape[-1], draws, path)


def _dropouts(layer: Lstm | Gru, draws: Draws | None, path: str) -> nn.ModuleList | None:
    """Return the dropout after each layer but the last; None if there is none."""
    if not layer.draws:
        return None
    names = [f"{path}.dropout_l{i}" for i in range(layer.num_layers - 1)]
    return nn.ModuleList(Dropout(layer.dropout, draws, name) for name in names)


def _layer_by_layer(
    module: nn.RNNBase,
    alone: Callable[[Tensor, Tensor, list[Tensor]], Tensor],
    between: nn.ModuleList,
    given: Tensor,
) -> Tensor:
    """
    Return the outputs of *module*, computed layer by layer, with the dropouts *between* the layers.

    torch's own kernel would draw the masks of dropout from its global generator.

    Args:
        module: torch's module, with the weights of all layers.
        alone: a function of (input, first state, weights) that returns the outputs of one layer.
        between: the dropout after each layer but the last.
        given: the input, (batch, length, features).
    """
    directions = 1 + module.bidirectional
    size = (directions, len(given), module.hidden_size)
    state = torch.zeros(size, dtype=given.dtype, device=given.device)
    weights = [weight for weight in module._flat_weights if weight is not None]
    each = len(weights) // module.num_layers
    for i, dropout in enumerate([*between, nn.Identity()]):
        given = dropout(alone(given, state, weights[i * each : (i + 1) * each]))
    return given
