"""Squeeze and excite: each channel is scaled by a factor that depends on all channels."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import per_dialect
from optcore.spec.errors import reject
from optcore.spec.layers.base import (
    IMAGE,
    MAX_UNITS,
    LayerDialect,
    LayerSpec,
    Parameter,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import Reach


class SqueezeExcite(LayerSpec):
    """
    Scale each channel of an image by a number from 0 to 1 that depends on all channels.

    ::

        z = mean of each channel
        h = activation(W1 z + b1)
        y = x * gate(W2 h + b2)

    References:
        Hu et al., Squeeze-and-Excitation Networks, 2018. https://arxiv.org/abs/1709.01507
    """

    kind: Literal["squeeze_excite"]
    squeeze_channels: int = Field(ge=1, le=MAX_UNITS)
    """Number of values in z'."""
    activation: Literal["relu", "silu"] = "relu"
    """Function that makes z'; EfficientNet has silu."""
    gate: Literal["sigmoid", "hardsigmoid"] = "sigmoid"
    """Function that makes the factor of each channel."""
    dialect: LayerDialect = "torch"
    """Whether the slope and the mean's gradient are rounded to float32 (paddle)."""
    slope: float = per_dialect({"torch": 1 / 6, "paddle": 0.2}, gt=0)
    """Slope of the hardsigmoid: torch's, or that of squeeze-excite in PaddleOCR and PaddleClas."""

    @model_validator(mode="after")
    def _slope_is_of_the_gate(self) -> Self:
        if self.gate != "hardsigmoid" and self.slope != self.default_of("slope"):
            text = f"slope must be left out for gate {self.gate}, which has none, got {self.slope}"
            reject(["slope"], text, self.slope)
        return self

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, an image: the output has the shape of the input."""
        needs(self, given, IMAGE)
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on all input positions."""
        return Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight and bias of two convolutions of 1 x 1, fc1 and fc2."""
        channels, squeezed = given.shape[0], self.squeeze_channels
        return [
            Parameter("fc1.weight", (squeezed, channels, 1, 1)),
            Parameter("fc1.bias", (squeezed,)),
            Parameter("fc2.weight", (channels, squeezed, 1, 1)),
            Parameter("fc2.bias", (channels,)),
        ]

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight of the two convolutions."""
        return 4 * given.shape[0] * self.squeeze_channels
