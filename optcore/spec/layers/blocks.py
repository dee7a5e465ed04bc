"""Blocks: layers that hold layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from optcore.spec.layers.base import LayerSpec, ShapeError, TensorSpec

if TYPE_CHECKING:
    from optcore.spec.layers.catalogue import AnyLayer

MAX_LAYERS = 2000
"""Largest number of layers in one list."""
MAX_TIMES = 10_000
"""Largest number of repetitions."""

Layers = Annotated[list["AnyLayer"], Field(max_length=MAX_LAYERS)]


class Part(NamedTuple):
    """
    Layers in a block that are computed one after another.

    Attributes:
        name: name of the part within the block; empty if the block has only this one.
        layers: the layers.
    """

    name: str
    layers: Sequence[AnyLayer]


class BlockSpec(LayerSpec):
    """The base of blocks."""

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


class Group(BlockSpec):
    """Layers one after another, under one name."""

    kind: Literal["sequential"]
    layers: Layers = Field(min_length=1)
    """The layers, from first to last."""

    @property
    def parts(self) -> list[Part]:
        """The layers."""
        return [Part("", self.layers)]

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the output of the last layer."""
        return outputs[0]


class Repeat(BlockSpec):
    """The same layers several times, one after another, each time with parameters of their own."""

    kind: Literal["repeat"]
    times: int = Field(ge=1, le=MAX_TIMES)
    """How many times."""
    layers: Layers = Field(min_length=1)
    """The layers, from first to last; they return what they take in shape."""

    @property
    def parts(self) -> list[Part]:
        """The layers."""
        return [Part("", self.layers)]

    @property
    def copies(self) -> int:
        """How many times."""
        return self.times

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return *given*, since each time must return what it takes."""
        if self.times > 1 and outputs[0] != given:
            raise ShapeError(
                f"repeat needs layers that return what they take, {given}, got {outputs[0]}"
            )
        return outputs[0]


class Residual(BlockSpec):
    """The sum of what layers return and of the input: ``layers(x) + shortcut(x)``."""

    kind: Literal["residual"]
    layers: Layers = Field(min_length=1)
    """The layers, from first to last."""
    shortcut: Layers = Field(default_factory=list)
    """The layers beside them; none for the input itself."""

    @property
    def parts(self) -> list[Part]:
        """The layers, and the shortcut."""
        return [Part("layers", self.layers), Part("shortcut", self.shortcut)]

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return what both parts return."""
        ours, short = outputs
        if ours != short:
            raise ShapeError(
                f"residual needs layers and shortcut that return the same, got {ours} and {short}; "
                "layers in the shortcut may bring it to that shape"
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
        """The branches."""
        return [Part(str(i), layers) for i, layers in enumerate(self.branches)]

    def joined(self, given: TensorSpec, outputs: Sequence[TensorSpec]) -> TensorSpec:
        """Return the joined outputs."""
        first = outputs[0]
        along = first.axes.index("channels" if "channels" in first.axes else "features")
        for i, other in enumerate(outputs[1:], 1):
            shape = list(other.shape)
            if self.join == "concat" and other.axes == first.axes:
                shape[along] = first.shape[along]
            if TensorSpec(tuple(shape), other.axes, other.integers) != first:
                rule = (
                    f"the same, except for {first.axes[along]}"
                    if self.join == "concat"
                    else ("the same")
                )
                raise ShapeError(
                    f"parallel with join {self.join} needs branches that return {rule}, got "
                    f"{first} from branch 0 and {other} from branch {i}"
                )
        if self.join != "concat":
            return first
        sizes = list(first.shape)
        sizes[along] = sum(each.shape[along] for each in outputs)
        return TensorSpec(tuple(sizes), first.axes)
