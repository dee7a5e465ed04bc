"""Modules of recurrent layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.recurrent import Gru, Lstm


class LstmModule(nn.LSTM):
    """
    torch's LSTM, which returns the outputs of all positions and no states.

    On a CPU in precision fp16, it computes in float32, as torch's GRU does: oneDNN has no LSTM in
    float16.
    """

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """Return the outputs for *input*, (batch, length, features)."""
        in_float32 = (
            input.device.type == "cpu"
            and torch.is_autocast_enabled("cpu")
            and torch.get_autocast_dtype("cpu") == torch.float16
        )
        if not in_float32:
            output: Tensor = super().forward(input)[0]
            return output
        with torch.autocast("cpu", enabled=False):
            output = super().forward(input.float())[0]
        return output


def lstm(layer: Lstm, given: TensorSpec) -> nn.Module:
    """Return torch's module for *layer*."""
    return LstmModule(
        given.shape[-1],
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=True,
        bidirectional=layer.bidirectional,
    )


class GruModule(nn.GRU):
    """torch's module, which returns the outputs of all positions alone."""

    def forward(self, given: Tensor) -> Tensor:  # type: ignore[override]  # one result, not two
        """Return the outputs for *given*, (batch, length, features)."""
        output: Tensor = super().forward(given)[0]
        return output


def gru(layer: Gru, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    return GruModule(
        given.shape[1],
        layer.hidden_size,
        layer.num_layers,
        bias=layer.bias,
        batch_first=True,
        bidirectional=layer.bidirectional,
    )
