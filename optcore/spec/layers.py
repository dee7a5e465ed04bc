"""
Layers: what a network is made of, known well enough to answer without torch.

A shape is that of one example, without the batch: ``(channels, height, width)`` or
``(features,)``. `optcore.networks` builds torch modules from the same specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Annotated, Literal

from pydantic import Field, field_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject

Shape = tuple[int, ...]

IMAGE_DIMS = 3
MAX_UNITS = 65_536
"""The widest layer, in channels or features."""


# fmt: off
RESERVED_NAMES = frozenset(
    {
        "T_destination", "add_module", "append", "apply", "bfloat16", "buffers",
        "call_super_init", "children", "compile", "cpu", "cuda", "double", "dump_patches",
        "eval", "extend", "extra_repr", "float", "forward", "get_buffer", "get_extra_state",
        "get_parameter", "get_submodule", "half", "insert", "ipu", "load_state_dict", "modules",
        "mtia", "named_buffers", "named_children", "named_modules", "named_parameters",
        "parameters", "pop", "register_backward_hook", "register_buffer",
        "register_forward_hook", "register_forward_pre_hook", "register_full_backward_hook",
        "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook", "register_module", "register_parameter",
        "register_state_dict_post_hook", "register_state_dict_pre_hook", "requires_grad_",
        "set_extra_state", "set_submodule", "share_memory", "state_dict", "to", "to_empty",
        "train", "training", "type", "xpu", "zero_grad",
    }
)
# fmt: on
"""Names that a layer cannot have: torch's modules use them themselves."""


class ShapeError(ValueError):
    """A layer cannot take the shape it is given."""


@dataclass(frozen=True)
class Parameter:
    """
    One trainable tensor of a layer.

    Attributes:
        name: within the layer (``weight``).
        shape: as in torch.
    """

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """Number of its elements."""
        return prod(self.shape)


class LayerSpec(Spec):
    """What all layers share; most keep the shape and have no parameters."""

    kind: str
    """Which layer."""

    name: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)
    """The layer's name in parameter names; null for its number."""

    @field_validator("name")
    @classmethod
    def _is_not_torchs(cls, name: str | None) -> str | None:
        if name in RESERVED_NAMES:
            reject([], f"name must not be one that torch's modules use, got {name!r}", name)
        return name

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that comes out for *shape*, or raise `ShapeError`."""
        return shape

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return the trainable tensors the layer has for inputs of *shape*."""
        del shape
        return []

    def flops(self, shape: Shape) -> int:
        """Return the multiplications and additions of one forward pass of one example."""
        del shape
        return 0


class Conv2d(LayerSpec):
    """A convolution over images."""

    kind: Literal["conv2d"]
    out_channels: int = Field(ge=1, le=MAX_UNITS)
    kernel_size: int = Field(ge=1, le=64)
    """Side of the square kernel, in pixels."""
    stride: int = Field(1, ge=1, le=64)
    padding: int = Field(0, ge=0, le=64)
    """Zeros added on each side, in pixels."""
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_channels, height, width)."""
        _, height, width = _image(self.kind, shape)
        return (self.out_channels, self._side(height), self._side(width))

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return weight (out, in, k, k) and bias (out,)."""
        k = self.kernel_size
        weight = Parameter("weight", (self.out_channels, _image(self.kind, shape)[0], k, k))
        return [weight, Parameter("bias", (self.out_channels,))] if self.bias else [weight]

    def flops(self, shape: Shape) -> int:
        """Two per kernel element and output pixel, one for the bias."""
        _, height, width = self.output_shape(shape)
        return (
            height
            * width
            * sum((2 if p.name == "weight" else 1) * p.size for p in self.parameters(shape))
        )

    def _side(self, side: int) -> int:
        out = (side + 2 * self.padding - self.kernel_size) // self.stride + 1
        if out < 1:
            raise ShapeError(
                f"a kernel of {self.kernel_size} does not fit {side} pixels with padding "
                f"{self.padding}"
            )
        return out


class MaxPool2d(LayerSpec):
    """The largest value of each square window; windows do not overlap."""

    kind: Literal["max_pool2d"]
    kernel_size: int = Field(ge=1, le=64)
    """Side of the window, in pixels; also the stride."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return (channels, height / kernel_size, width / kernel_size), rounded down."""
        channels, height, width = _image(self.kind, shape)
        if min(height, width) < self.kernel_size:
            raise ShapeError(f"a window of {self.kernel_size} does not fit {height}x{width} pixels")
        return (channels, height // self.kernel_size, width // self.kernel_size)


class Linear(LayerSpec):
    """A fully connected layer."""

    kind: Literal["linear"]
    out_features: int = Field(ge=1, le=MAX_UNITS)
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        """Return (out_features,)."""
        self._in_features(shape)
        return (self.out_features,)

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return weight (out, in) and bias (out,)."""
        weight = Parameter("weight", (self.out_features, self._in_features(shape)))
        return [weight, Parameter("bias", (self.out_features,))] if self.bias else [weight]

    def flops(self, shape: Shape) -> int:
        """Two per weight, one per bias."""
        return sum((2 if p.name == "weight" else 1) * p.size for p in self.parameters(shape))

    def _in_features(self, shape: Shape) -> int:
        if len(shape) != 1:
            raise ShapeError(f"linear needs a flat input, got shape {shape}; put a flatten before")
        return shape[0]


class Flatten(LayerSpec):
    """All of an example's values in one row."""

    kind: Literal["flatten"]

    def output_shape(self, shape: Shape) -> Shape:
        """Return (number of values,)."""
        return (prod(shape),)


class Relu(LayerSpec):
    """max(x, 0)."""

    kind: Literal["relu"]


class Dropout(LayerSpec):
    """While training, each value becomes 0 with probability p, the others grow by 1/(1-p)."""

    kind: Literal["dropout"]
    p: float = Field(0.5, ge=0, lt=1)
    """Probability of a 0."""


class BatchNorm(LayerSpec):
    """Values normalised over the batch, per channel or feature, then scaled and shifted."""

    kind: Literal["batch_norm"]
    momentum: float = Field(0.1, gt=0, le=1)
    """Weight of a new batch in the running statistics (torch's convention)."""
    eps: float = Field(1e-5, gt=0)
    """Added to the variance."""

    def output_shape(self, shape: Shape) -> Shape:
        """Return *shape*, which must be flat or an image."""
        if len(shape) not in (1, IMAGE_DIMS):
            raise ShapeError(f"batch_norm needs a flat or an image input, got shape {shape}")
        return shape

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return weight and bias, one per channel."""
        return [Parameter("weight", shape[:1]), Parameter("bias", shape[:1])]

    def flops(self, shape: Shape) -> int:
        """Return four per value."""
        return 4 * prod(shape)


class LogSoftmax(LayerSpec):
    """Logarithms of probabilities: x - log(sum(exp(x))), over the features."""

    kind: Literal["log_softmax"]

    def output_shape(self, shape: Shape) -> Shape:
        """Return *shape*, which must be flat."""
        if len(shape) != 1:
            raise ShapeError(f"log_softmax needs a flat input, got shape {shape}")
        return shape

    def flops(self, shape: Shape) -> int:
        """Return four per value."""
        return 4 * prod(shape)


AnyLayer = Annotated[
    Conv2d | MaxPool2d | Linear | Flatten | Relu | Dropout | BatchNorm | LogSoftmax,
    Field(discriminator="kind"),
]
"""One of the layers, told apart by `kind`."""


def _image(kind: str, shape: Shape) -> Shape:
    if len(shape) != IMAGE_DIMS:
        raise ShapeError(f"{kind} needs an image (channels, height, width), got shape {shape}")
    return shape
