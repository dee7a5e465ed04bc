"""
The base of all layers: shapes, parameters and cost, without torch.

A shape describes one example, without the batch: ``(channels, height, width)`` or ``(features,)``.
`optcore.networks` builds torch modules from the same specs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from pydantic import Field, field_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject

Shape = tuple[int, ...]

IMAGE_DIMS = 3
MAX_UNITS = 65_536
"""Largest width of a layer, in channels or features."""


# Listed here, since specs do not import torch; a test compares the list with dir(nn.Sequential()).
# nn.Module.add_module raises an error for a name that is already an attribute.
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
"""Names that a layer cannot have, since they are attributes of torch's modules."""


class ShapeError(ValueError):
    """A layer does not accept the shape of its input."""


@dataclass(frozen=True)
class Parameter:
    """
    One trainable tensor of a layer.

    Attributes:
        name: name within the layer, such as ``weight``.
        shape: shape of the tensor, as in torch.
    """

    name: str
    shape: Shape

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


class LayerSpec(Spec):
    """The base of all layers; by default a layer keeps the shape and has no parameters."""

    kind: str
    """Type of the layer."""

    # No dot: torch refuses dots, and in a parameter's name the last dot ends the name of the layer.
    # No digit first: a layer without a name has its number as its name.
    name: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)
    """Name of the layer, which begins the names of its parameters; null to use its number."""

    @field_validator("name")
    @classmethod
    def _is_not_torchs(cls, name: str | None) -> str | None:
        if name in RESERVED_NAMES:
            reject([], f"name must not be an attribute of torch's modules, got {name!r}", name)
        return name

    @property
    def draws(self) -> bool:
        """Whether the layer draws random numbers in training."""
        return False

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of *shape*, or raise `ShapeError`."""
        return shape

    def parameters(self, shape: Shape) -> list[Parameter]:
        """Return the trainable tensors of the layer for inputs of *shape*."""
        return []

    def flops(self, shape: Shape) -> int:
        """Return the number of multiplications and additions in the forward pass of an example."""
        return 0


def image_shape(kind: str, shape: Shape) -> Shape:
    """Return *shape* if it is the shape of an image, or raise `ShapeError` about layer *kind*."""
    if len(shape) != IMAGE_DIMS:
        raise ShapeError(f"{kind} needs an image (channels, height, width), got shape {shape}")
    return shape
