"""
The base of all layers: shapes, parameters and cost, without torch.

`optcore.networks` builds torch modules from the same specs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from typing import Annotated, ClassVar, Literal, NoReturn

from pydantic import Field, field_validator

from optcore.spec.base import fields_of
from optcore.spec.errors import reject, short_repr
from optcore.spec.later import LaterSpec
from optcore.spec.layers.init import Inits
from optcore.spec.layers.reach import PRESENT, Reach
from optcore.spec.limits import at_most

Shape = tuple[int, ...]
LayerDialect = Literal["torch", "paddle"]
"""The framework whose conventions a layer follows, where frameworks differ."""
Axis = Literal["channels", "height", "width", "length", "features"]

MAX_UNITS = 65_536
"""Largest width of a layer, in channels or features."""
MAX_SHARED = 64
"""Largest number of parameters of a layer that are shared with earlier layers."""
IMAGE: tuple[Axis, ...] = ("channels", "height", "width")
SIGNAL: tuple[Axis, ...] = ("channels", "length")
SEQUENCE: tuple[Axis, ...] = ("length", "features")
VECTOR: tuple[Axis, ...] = ("features",)
TOKENS: tuple[Axis, ...] = ("length",)
ALONG: frozenset[Axis] = frozenset({"length", "width"})
"""The axes of positions."""


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
    """
    A layer does not accept its input.

    Attributes:
        path: path of the layer in its network; empty if it is not known.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"layer {path}: {message}" if path else message)
        self.path = path


class PathError(ShapeError):
    """A layer names another one, of which it cannot take the output."""


@dataclass(frozen=True)
class TensorSpec:
    """
    The input or output of a layer for one example; a batch has one more dimension in front.

    Attributes:
        shape: size of each dimension.
        axes: what each dimension is: an image is (channels, height, width), a sequence of vectors
            is (length, features), a sequence of tokens (length,).
        integers: whether the values are token ids, from 0, and not real numbers.
        memory: the output of an earlier layer to which a layer attends, besides its input; None for
            other layers.
    """

    shape: Shape
    axes: tuple[Axis, ...]
    integers: bool = False
    memory: TensorSpec | None = None

    @classmethod
    def of(cls, shape: Shape, axes: tuple[Axis, ...] | None = None) -> TensorSpec:
        """
        Return the spec of real numbers in *shape*.

        If *axes* is None, 1 dimension is a vector, 2 are a sequence, and 3 are an image.
        """
        known = {len(each): each for each in (VECTOR, SEQUENCE, IMAGE)}
        if axes is None and len(shape) not in known:
            raise ShapeError(
                f"a shape must have 1 to {max(known)} dimensions if axes is None, got {shape}"
            )
        return cls(tuple(shape), known[len(shape)] if axes is None else axes)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def positions(self) -> int:
        """Number of positions: the length of a sequence or signal, or the columns of an image."""
        return next((n for axis, n in zip(self.axes, self.shape, strict=True) if axis in ALONG), 1)

    def __str__(self) -> str:
        """Return the axes with their sizes: ``(channels 3, height 32, width 100)``."""
        sizes = ", ".join(f"{axis} {n}" for axis, n in zip(self.axes, self.shape, strict=True))
        return f"{'tokens ' if self.integers else ''}({sizes})"


FOLLOWS = (
    *("in_channels", "in_features", "num_features", "num_channels", "input_size", "in_planes"),
    *("input_shape", "input_dim", "normalized_shape", "in_chs"),
)
"""Arguments of layers elsewhere that say what a layer takes."""


def _follows(name: str, value: object) -> str:
    return (
        f"{name} must be left out, since it follows from the layer before, got {short_repr(value)}"
    )


@dataclass(frozen=True)
class Parameter:
    """
    One trainable tensor of a layer, or one of its buffers.

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


class LayerSpec(LaterSpec):
    """The base of all layers; by default a layer keeps the shape and has no parameters."""

    kind: str
    """Type of the layer."""

    LATER: ClassVar[frozenset[str]] = frozenset({"share", "init"})
    FORMER_PLACES: ClassVar[Mapping[str, Callable[[object], str]]] = {
        **{name: partial(_follows, name) for name in FOLLOWS},
        "inplace": lambda _: (
            "inplace must be left out: outputs are overwritten wherever nothing else needs them"
        ),
    }

    # No dot: torch refuses dots, and in a parameter's name the last dot ends the name of the layer.
    # No digit first: a layer without a name has its number as its name.
    name: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)
    """Name of the layer, which begins the names of its parameters; null to use its number."""

    share: Annotated[dict[str, str], at_most(MAX_SHARED, "share")] = Field(
        default_factory=dict, max_length=MAX_SHARED
    )
    """Maps a parameter of this layer to that of an earlier layer which is used in its place, by its
    full name: ``{"weight": "tokens.weight"}`` ties an output layer to an embedding."""

    init: Inits = Field(default_factory=dict)
    """Initial values of parameters in place of torch's, by globs of their names in this layer:
    ``{"weight": {"kind": "normal", "std": 0.02}, "bias": "zeros"}``. Of several globs that match,
    the longest counts. The key ``weights`` stands for all parameters of at least two dimensions
    that no glob matches (in a layer that has none, for its weight); one initialisation alone is
    that of ``weights``. The globs of a block are matched with the names in it (of repeated layers
    without the number of the repetition) and hold for parameters that no layer inside
    initialises."""

    # Layers are keys of caches, and lists of sizes have no hash.
    def __hash__(self) -> int:
        """Return a hash of the fields."""
        return self._hash

    @cached_property
    def _hash(self) -> int:
        values = self.__dict__
        # Most values are numbers, and a network may have thousands of layers.
        return hash(
            tuple(
                [
                    _hashable(value) if type(value := values[name]) in NOT_HASHABLE else value
                    for name in fields_of(type(self))
                ]
            )
        )

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

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return the output for the input *given*; raise `ShapeError` if it is not accepted."""
        if given.integers:
            refuse_tokens(self, given)
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """
        Return which positions of *given* an output position depends on; by default, none after it.

        Language models are checked by this: their outputs must not depend on later tokens, which
        are the targets. A dependence through the statistics of a batch does not count.
        """
        return PRESENT

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return the trainable tensors of the layer for inputs like *given*, in torch's order."""
        return []

    def buffers(self, given: TensorSpec) -> list[Parameter]:
        """Return the tensors that are saved with the parameters and not trained."""
        return []

    def flops(self, given: TensorSpec) -> int:
        """
        Return the number of floating-point operations in the forward pass of one example.

        As in `torch.utils.flop_counter`, only those of matrix products and convolutions count: two
        for each multiplication with an addition.
        """
        return 0

    def saved(self, given: TensorSpec) -> int:
        """
        Return how many values the backward pass of one example needs, besides input and output.

        Only values count that a module of several operations keeps between these operations.
        """
        return 0

    def workspace(self, given: TensorSpec) -> int:
        """Return how many values are needed at a time for one example, besides input and output."""
        return 0


class InstalledLayer(LayerSpec):
    """
    The base of layers from installed packages (entry points of the group ``optserve.layers``).

    `docs/extending.md` shows a whole package. All state that changes during training must be in the
    module's parameters and persistent buffers, which checkpoints hold. If the module needs random
    numbers, they must come from *draws* (`optcore.networks.draws`), and the property `draws` of
    the spec must be true.
    """

    CODE: ClassVar[str]
    """
    The function that builds the torch module, as ``module:function``.

    ``function(layer, given, draws, path)`` gets the spec, the `TensorSpec` of the input, the random
    numbers of the run (None outside a run), and the path of the layer in its network. The module
    has the parameters that `parameters` declares, in that order, in float32 and on the CPU, and the
    persistent buffers that `buffers` declares.
    """

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: outputs may depend on all positions; language models get a warning."""
        return Reach.all_of(given.positions, certain=False)


def refuse_tokens(layer: LayerSpec, given: TensorSpec) -> NoReturn:
    """Raise `ShapeError`, since *layer* needs real numbers."""
    raise ShapeError(f"{layer.kind} needs real numbers, got {given}; begin with an embedding")


NOT_HASHABLE = frozenset({list, tuple, dict})
"""Types of values that have no hash, or may hold values without one."""


def _hashable(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return tuple(map(_hashable, value))
    return tuple(value.items()) if isinstance(value, dict) else value


def needs(layer: LayerSpec, given: TensorSpec, *allowed: tuple[Axis, ...], hint: str = "") -> None:
    """
    Raise `ShapeError` unless *given* are real numbers whose axes are among *allowed*.

    Args:
        layer: the layer that gets *given*.
        given: the input of the layer.
        allowed: the axes that the layer accepts.
        hint: what would make the input fit; by default, a layer that brings it to allowed axes.
    """
    if given.integers:
        refuse_tokens(layer, given)
    if given.axes not in allowed:
        wanted = " or ".join(f"({', '.join(axes)})" for axes in allowed)
        hint = hint or _way(given.axes, allowed)
        raise ShapeError(f"{layer.kind} needs {wanted}, got {given}{hint and f'; {hint}'}")


def _way(given: tuple[Axis, ...], allowed: Sequence[tuple[Axis, ...]]) -> str:
    """Return the advice how to convert the axes *given* to axes in *allowed*; empty for none."""
    if given == VECTOR:
        return "insert a reshape layer before it"
    for axes, word in ((SEQUENCE, "sequence"), (SIGNAL, "signal"), (IMAGE, "image")):
        if axes in allowed:
            first = "bring it to height 1 and " if given == IMAGE else ""
            return f"{first}insert a permute layer with axes {word} before it"
    return "insert a flatten layer before it" if VECTOR in allowed else ""
