"""Activations: functions of each value, or of the features. Only prelu has parameters."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.base import per_dialect
from optcore.spec.layers.base import (
    IMAGE,
    MAX_UNITS,
    SEQUENCE,
    SIGNAL,
    VECTOR,
    LayerDialect,
    LayerSpec,
    Parameter,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import JOINED, PRESENT, Reach


class Relu(LayerSpec):
    """The rectifier: max(x, 0)."""

    kind: Literal["relu"]


class Relu6(LayerSpec):
    """min(max(x, 0), 6)."""

    kind: Literal["relu6"]


class Prelu(LayerSpec):
    """
    x where x > 0, else weight * x, with a trained weight.

    The weight begins as 0.25.

    References:
        He et al., Delving Deep into Rectifiers, 2015. https://arxiv.org/abs/1502.01852
        torch.nn.PReLU.
    """

    kind: Literal["prelu"]
    num_parameters: int = Field(1, ge=1, le=MAX_UNITS)
    """Number of weights: 1 for all values, or one per channel, or per feature of a vector."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*; several weights must be one for each channel or feature."""
        found = super().output(given)
        if self.num_parameters > 1:
            needs(self, given, VECTOR, SIGNAL, IMAGE, hint="num_parameters 1 takes anything")
            if self.num_parameters != given.shape[0]:
                raise ShapeError(
                    f"num_parameters must be 1 or the number of {given.axes[0]}, "
                    f"{given.shape[0]}, got {self.num_parameters}"
                )
        return found

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (num_parameters,)."""
        return [Parameter("weight", (self.num_parameters,))]


class LeakyRelu(LayerSpec):
    """x where x > 0, else negative_slope * x."""

    kind: Literal["leaky_relu"]
    negative_slope: float = Field(0.01, ge=0)
    """Factor of negative values."""


class Elu(LayerSpec):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    kind: Literal["elu"]
    alpha: float = Field(1.0, gt=0)
    """Minus the limit for x to minus infinity."""


class Gelu(LayerSpec):
    """
    x * P(X <= x) for a standard normal X.

    With an *approximate* of tanh::

        0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))
    """

    kind: Literal["gelu"]
    approximate: Literal["none", "tanh"] = "none"
    """Whether to compute the approximation, as GPT-2 does."""


class Silu(LayerSpec):
    """x * sigmoid(x), also called swish."""

    kind: Literal["silu"]


class Mish(LayerSpec):
    """x * tanh(log(1 + exp(x)))."""

    kind: Literal["mish"]


class Softplus(LayerSpec):
    """log(1 + exp(beta * x)) / beta; x itself where beta * x is above the threshold."""

    kind: Literal["softplus"]
    beta: float = Field(1.0, gt=0)
    """Sharpness of the bend at 0."""
    threshold: float = Field(20.0, ge=0)
    """Value of beta * x from which on the function is x."""


class Identity(LayerSpec):
    """x itself; for example, in place of a layer that is left out."""

    kind: Literal["identity"]


class Sigmoid(LayerSpec):
    """1 / (1 + exp(-x))."""

    kind: Literal["sigmoid"]


class Tanh(LayerSpec):
    """The hyperbolic tangent."""

    kind: Literal["tanh"]


class Hardswish(LayerSpec):
    """x * min(max(x + 3, 0), 6) / 6."""

    kind: Literal["hardswish"]


class Hardsigmoid(LayerSpec):
    """
    min(max(slope * x + offset, 0), 1).

    By default, slope is 1/6 in dialect torch and 0.1666667 in dialect paddle.

    With the defaults of torch, the gradient has 1/6 rounded to float32 as its factor, also in
    float64. Dialect paddle rounds slope and offset to float32.
    """

    kind: Literal["hardsigmoid"]
    dialect: LayerDialect = "torch"
    """Whether slope and offset are rounded to float32 (paddle)."""
    slope: float = per_dialect({"torch": 1 / 6, "paddle": 0.1666667}, gt=0)
    """Factor of x."""
    offset: float = 0.5
    """Value at 0."""


class OverFeatures(LayerSpec):
    """The base of activations over the features of a vector, or of each position."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, which must be a vector, a sequence or an image."""
        needs(self, given, VECTOR, SEQUENCE, IMAGE)
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on all features of the same position."""
        return JOINED if given.axes == VECTOR else PRESENT


class Softmax(OverFeatures):
    """Probabilities: exp(x_k) / sum_j exp(x_j), over the features, or the channels of an image."""

    kind: Literal["softmax"]


class LogSoftmax(OverFeatures):
    """Logarithms of probabilities: x_k - log(sum_j exp(x_j)), over the features or channels."""

    kind: Literal["log_softmax"]
