"""
The base of all layers: shapes, parameters and cost, without torch.

A shape is that of one example, without the batch: ``(channels, height, width)`` or
``(features,)``. `optcore.networks` builds torch modules from the same specs.
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
"""The widest layer, in channels or features."""


# Written down, since specs do not import torch; a test compares them with dir(nn.Sequential()).
# nn.Module.add_module raises for a name that is an attribute already.
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
"""Names that a layer cannot have: attributes of torch's modules."""


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
    """The base of all layers; most keep the shape and have no parameters."""

    kind: str
    """Which layer."""

    # No dot: torch refuses it, and the last one in a parameter's name ends its layer's. No digit
    # first: layers without a name have their numbers.
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
        return []

    def flops(self, shape: Shape) -> int:
        """Return the multiplications and additions of one forward pass of one example."""
        return 0


def image_shape(kind: str, shape: Shape) -> Shape:
    """Return *shape* if it is that of an image, or raise `ShapeError` for the layer *kind*."""
    if len(shape) != IMAGE_DIMS:
        raise ShapeError(f"{kind} needs an image (channels, height, width), got shape {shape}")
    return shape
