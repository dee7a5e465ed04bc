"""The module of squeeze and excite."""

from __future__ import annotations

from torch import Tensor, nn

from optcore.networks.layers.activations import hardsigmoid_of
from optcore.networks.layers.pooling import PaddleMean, adaptive_counts
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.squeeze_excite import SqueezeExcite


class SqueezeExciteModule(nn.Module):
    """
    Scale each channel by a factor that depends on all channels; see `SqueezeExcite`.

    Args:
        pool: returns the mean of each channel as an image of 1 x 1.
        channels: number of channels.
        squeezed: number of channels between the two convolutions.
        activation: the activation between the two convolutions.
        gate: the activation after the second convolution; its outputs are the factors.
    """

    def __init__(
        self,
        pool: nn.Module,
        channels: int,
        squeezed: int,
        *,
        activation: nn.Module,
        gate: nn.Module,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* with its channels scaled."""
        factor: Tensor = self.gate(self.fc2(self.activation(self.fc1(self.pool(given)))))
        return factor * given


def squeeze_excite(layer: SqueezeExcite, given: TensorSpec) -> nn.Module:
    """Return the module for *layer*."""
    paddle = layer.dialect == "paddle"
    pool: nn.Module = nn.AdaptiveAvgPool2d(1)
    if paddle:
        pool = PaddleMean(pool, adaptive_counts(given, (1, 1)))
    gate = (
        nn.Sigmoid()
        if layer.gate == "sigmoid"
        else hardsigmoid_of(layer.slope, 0.5, rounded=paddle)
    )
    return SqueezeExciteModule(
        pool,
        given.shape[0],
        layer.squeeze_channels,
        activation=nn.ReLU(inplace=True) if layer.activation == "relu" else nn.SiLU(inplace=True),
        gate=gate,
    )
