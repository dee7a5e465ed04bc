"""Normalization: over the batch, a layer, groups of channels, or each channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import ClassVar, Literal

from pydantic import Field

from optcore.spec.base import per_dialect
from optcore.spec.errors import short_repr
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


class BatchNorm(LayerSpec):
    """
    Normalise values over the batch, per channel or feature, then scale and shift them.

    In training, the mean and the variance are those of the batch. In evaluation, they are running
    statistics::

        running = (1 - momentum) * running + momentum * batch        dialect torch
        running = momentum * running + (1 - momentum) * batch        dialect paddle

    In dialect torch, the running variance takes the unbiased variance of the batch. In dialect
    paddle it takes the biased one, and eps and momentum are float32 numbers.
    """

    LATER: ClassVar[frozenset[str]] = LayerSpec.LATER | {"affine", "dialect"}

    kind: Literal["batch_norm"]
    dialect: LayerDialect = "torch"
    """The framework whose conventions the running statistics follow."""
    momentum: float = per_dialect({"torch": 0.1, "paddle": 0.9}, gt=0, le=1)
    """Weight of a new batch in the running statistics; in dialect paddle, of those before."""
    eps: float = Field(1e-5, gt=0)
    """Added to the variance."""
    affine: bool = True
    """Whether there are weight and bias."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a vector, signal or image: the output has the shape of the input."""
        needs(self, given, VECTOR, SIGNAL, IMAGE, hint="layer_norm takes sequences")
        return given

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight and bias, each with one element per channel or feature."""
        shape = given.shape[:1]
        return [Parameter("weight", shape), Parameter("bias", shape)] if self.affine else []

    def buffers(self, given: TensorSpec) -> list[Parameter]:
        """Return the running statistics, and the number of batches that they have seen."""
        shape = given.shape[:1]
        statistics = [Parameter("running_mean", shape), Parameter("running_var", shape)]
        return [*statistics, Parameter("num_batches_tracked", ())]


def _what_is_normalised(value: object) -> str:
    return (
        "normalized_shape must be left out: the features of a vector or of each position are "
        "normalised together, and all values of an image or signal, not the channels of each "
        f"pixel, got {short_repr(value)}"
    )


class LayerNorm(LayerSpec):
    """
    Normalise the values of each example, then scale and shift each.

    The features of a vector, or of each position of a sequence, are normalised together. In an
    image or signal, all values are normalised together.
    """

    FORMER_PLACES: ClassVar[Mapping[str, Callable[[object], str]]] = {
        **LayerSpec.FORMER_PLACES,
        "normalized_shape": _what_is_normalised,
    }

    kind: Literal["layer_norm"]
    eps: float = Field(1e-5, gt=0)
    """Added to the variance."""
    bias: bool = True
    """Whether values are shifted."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*."""
        needs(self, given, VECTOR, SEQUENCE, SIGNAL, IMAGE)
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output depends on its position; in images and signals, on all."""
        if given.axes == SEQUENCE:
            return PRESENT
        return JOINED if given.axes == VECTOR else Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight and bias, each with one element per value that is normalised together."""
        shape = normalized_shape(given)
        return [Parameter("weight", shape), *([Parameter("bias", shape)] if self.bias else [])]


class RmsNorm(LayerSpec):
    """
    Divide values by the root of their mean square, then scale each.

    ::

        y = x / sqrt(mean(x ** 2) + eps) * weight

    The features of a vector, or of each position of a sequence, are normalised together. In an
    image or signal, all values are normalised together.
    """

    FORMER_PLACES: ClassVar[Mapping[str, Callable[[object], str]]] = {
        **LayerSpec.FORMER_PLACES,
        "normalized_shape": _what_is_normalised,
    }

    kind: Literal["rms_norm"]
    eps: float = Field(1e-6, gt=0)
    """Added to the mean square."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*."""
        needs(self, given, VECTOR, SEQUENCE, SIGNAL, IMAGE)
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output depends on its position; in images and signals, on all."""
        if given.axes == SEQUENCE:
            return PRESENT
        return JOINED if given.axes == VECTOR else Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight, with one element per value that is normalised together."""
        return [Parameter("weight", normalized_shape(given))]


class GroupNorm(LayerSpec):
    """Normalise each group of channels of an example, then scale and shift each channel."""

    kind: Literal["group_norm"]
    num_groups: int = Field(ge=1, le=MAX_UNITS)
    """Number of groups, which divides the number of channels."""
    eps: float = Field(1e-5, gt=0)
    """Added to the variance."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, a vector, signal or image: the output has the shape of the input."""
        needs(self, given, VECTOR, SIGNAL, IMAGE, hint="layer_norm takes sequences")
        if given.shape[0] % self.num_groups:
            raise ShapeError(
                f"num_groups must divide the number of {given.axes[0]}, {given.shape[0]}, "
                f"got {self.num_groups}"
            )
        if given.size == self.num_groups:
            raise ShapeError(
                f"group_norm needs more than one value per group, got {given} in "
                f"{self.num_groups} groups"
            )
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on all input positions."""
        return PRESENT if given.axes == VECTOR else Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight and bias, each with one element per channel."""
        return [Parameter("weight", given.shape[:1]), Parameter("bias", given.shape[:1])]


class InstanceNorm(LayerSpec):
    """Normalise each channel of an example; with affine, scale and shift it too."""

    kind: Literal["instance_norm"]
    eps: float = Field(1e-5, gt=0)
    """Added to the variance."""
    affine: bool = False
    """Whether there are weight and bias."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return *given*, the shape of a signal or image of more than one pixel."""
        needs(self, given, SIGNAL, IMAGE)
        if prod(given.shape[1:]) == 1:
            raise ShapeError(f"instance_norm needs more than one pixel per channel, got {given}")
        return given

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: an output position depends on all input positions."""
        return Reach.all_of(given.positions)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight and bias, each with one element per channel."""
        shape = given.shape[:1]
        return [Parameter("weight", shape), Parameter("bias", shape)] if self.affine else []


def normalized_shape(given: TensorSpec) -> tuple[int, ...]:
    """Return the shape of the values that layer_norm and rms_norm normalise together."""
    return given.shape[-1:] if given.axes == SEQUENCE else given.shape
