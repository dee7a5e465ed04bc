"""Blocks: layers that hold layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field

from optcore.spec.errors import reject
from optcore.spec.layers.base import Axis, LayerSpec, ShapeError, TensorSpec

if TYPE_CHECKING:
    from optcore.spec.layers.catalogue import AnyLayer

MAX_LAYERS = 2000
"""Largest number of layers in one list, and of those that a client writes, together."""
MAX_TIMES = 10_000
"""Largest number of repetitions."""


def named(layers: Sequence[AnyLayer]) -> list[tuple[str, AnyLayer]]:
    """Return a (name, layer) pair for each layer; the number (from 0) replaces a missing name."""
    return [(layer.name or str(i), layer) for i, layer in enumerate(layers)]


def _names_differ(layers: list[AnyLayer]) -> list[AnyLayer]:
    # Else the second of two layers would take the place of the first.
    first: dict[str, int] = {}
    for i, layer in enumerate(layers):
        if layer.name is not None and first.setdefault(layer.name, i) != i:
            text = f"name must be used once, got {layer.name!r} twice"
            reject([first[layer.name], "name"], text, layer.name)
    return layers


Layers = Annotated[list["AnyLayer"], Field(max_length=MAX_LAYERS), AfterValidator(_names_differ)]
"""A list of layers, whose names differ."""


class Part(NamedTuple):
    """
    Layers in a block that are computed one after another.

    Attributes:
        name: name of the part within the block; empty if the block has only one part.
        layers: the layers.
    """

    name: str
    layers: Sequence[AnyLayer]


class BlockSpec(LayerSpec):
    """The base of blocks: layers that hold other layers."""

    NUMBERED: ClassVar[bool] = False
    """Whether the paths of what the block holds have a number: that of the repetition."""

    @property
    def parts(self) -> list[Part]:
        """The parts of the block; each takes the input of the block."""
        raise NotImplementedError

    @property
    def copies(self) -> int:
        """How many times the block holds its parts, one after another, named 0, 1, ..."""
        return 1

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the output of the block, from its input and the outputs of its parts."""
        raise NotImplementedError


class SequentialBlock(BlockSpec):
    """Layers one after another, under one name."""

    kind: Literal["sequential"]
    layers: Layers = Field(min_length=1)
    """The layers, from first to last."""

    @property
    def parts(self) -> list[Part]:
        """The layers, as one part."""
        return [Part("", self.layers)]

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the output of the last layer."""
        return outputs[0]


class Repeat(BlockSpec):
    """The same layers several times, one after another, each time with parameters of their own."""

    NUMBERED: ClassVar[bool] = True

    kind: Literal["repeat"]
    times: int = Field(ge=1, le=MAX_TIMES)
    """How many times."""
    layers: Layers = Field(min_length=1)
    """The layers, from first to last. Their output has the shape of their input."""

    @property
    def parts(self) -> list[Part]:
        """The layers, as one part."""
        return [Part("", self.layers)]

    @property
    def copies(self) -> int:
        """How many times the layers follow each other."""
        return self.times

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the output of the layers, which must equal *given* if they are repeated."""
        if self.times > 1 and outputs[0] != given:
            raise ShapeError(
                f"repeat needs layers whose output has the shape of their input, {given}, got "
                f"{outputs[0]}"
            )
        return outputs[0]


class Residual(BlockSpec):
    """The sum ``layers(x) + shortcut(x)``; by default, shortcut(x) is the input x itself."""

    kind: Literal["residual"]
    layers: Layers = Field(min_length=1)
    """The layers, from first to last."""
    shortcut: Layers = Field(default_factory=list)
    """The layers beside them; none for the input itself."""

    @property
    def parts(self) -> list[Part]:
        """Two parts: the layers, and the shortcut."""
        return [Part("layers", self.layers), Part("shortcut", self.shortcut)]

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the output of the layers; that of the shortcut must be equal."""
        _are_numbers(self, outputs)
        ours, short = outputs
        if ours != short:
            raise ShapeError(
                f"residual needs layers and shortcut that return equal shapes, got {ours} from "
                f"layers and {short} from shortcut; let shortcut return {ours} too"
            )
        return ours


class Parallel(BlockSpec):
    """Branches that all take the input; their outputs are added, multiplied or joined."""

    kind: Literal["parallel"]
    branches: list[Layers] = Field(min_length=2, max_length=64)
    """The layers of each branch; an empty list for the input itself."""
    join: Literal["add", "multiply", "concat"] = "add"
    """add, multiply: outputs of one shape, value by value. concat: one after another, along the
    channels or features."""

    @property
    def parts(self) -> list[Part]:
        """The branches, each as a part."""
        return [Part(str(i), layers) for i, layers in enumerate(self.branches)]

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the sum, the product or the concatenation of the outputs of the branches."""
        _are_numbers(self, outputs)
        first, along = outputs[0], self.along(outputs[0].axes)
        rule = "equal shapes"
        if self.join == "concat":
            rule += f", except for {first.axes[along]}"
        for i, other in enumerate(outputs[1:], 1):
            shape = list(other.shape)
            if self.join == "concat" and other.axes == first.axes:
                shape[along] = first.shape[along]
            if TensorSpec(tuple(shape), other.axes) != first:
                raise ShapeError(
                    f"parallel with join {self.join} needs branches that return {rule}, got "
                    f"{first} from branch 0 and {other} from branch {i}"
                )
        if self.join != "concat":
            return first
        sizes = list(first.shape)
        sizes[along] = sum(each.shape[along] for each in outputs)
        return TensorSpec(tuple(sizes), first.axes)

    def along(self, axes: Sequence[Axis]) -> int:
        """Return the index in *axes* of the axis for concat: the channels or the features."""
        return axes.index("channels" if "channels" in axes else "features")


def _are_numbers(block: BlockSpec, outputs: Sequence[TensorSpec]) -> None:
    for part, output in zip(block.parts, outputs, strict=True):
        if output.integers:
            raise ShapeError(
                f"{block.kind} needs real numbers, got {output} from "
                f"{'branch ' if part.name.isdigit() else ''}{part.name}; begin with an embedding"
            )
