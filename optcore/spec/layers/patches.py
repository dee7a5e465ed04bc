"""Layers of vision transformers: patches, a class token, and the choice of a position."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from optcore.spec.layers.base import (
    IMAGE,
    MAX_UNITS,
    SEQUENCE,
    VECTOR,
    LayerSpec,
    Parameter,
    ShapeError,
    TensorSpec,
    needs,
)
from optcore.spec.layers.reach import Reach

MAX_PATCH = 1024
"""Largest side of a patch, in pixels."""


class PatchEmbedding(LayerSpec):
    """
    Divide an image into square patches, and map each to a vector by one linear layer.

    The sequence has the patches row by row. The linear layer is a convolution whose stride is the
    size of its kernel.

    References:
        Dosovitskiy et al., An Image is Worth 16x16 Words, 2020. https://arxiv.org/abs/2010.11929
    """

    kind: Literal["patch_embedding"]
    patch_size: int = Field(ge=1, le=MAX_PATCH)
    """Side of a patch, in pixels; it divides height and width of the image."""
    features: int = Field(ge=1, le=MAX_UNITS)
    """Number of values in the vector of a patch."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (number of patches, features)."""
        needs(self, given, IMAGE)
        _, height, width = given.shape
        if height % self.patch_size or width % self.patch_size:
            raise ShapeError(
                f"patch_size must divide height and width of {given}, got {self.patch_size}"
            )
        patches = (height // self.patch_size) * (width // self.patch_size)
        return TensorSpec((patches, self.features), SEQUENCE)

    def reach(self, given: TensorSpec) -> Reach:
        """
        Return the reach: an output position depends on the columns of its patch.

        With several rows of patches, it may depend on any column.
        """
        if given.shape[1] == self.patch_size:
            return Reach(self.patch_size, self.patch_size - 1)
        return Reach.all_of(given.positions, certain=False)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (features, channels, patch_size, patch_size) and bias (features,)."""
        sides = (self.patch_size, self.patch_size)
        weight = Parameter("weight", (self.features, given.shape[0], *sides))
        return [weight, Parameter("bias", (self.features,))]

    def flops(self, given: TensorSpec) -> int:
        """Return 2 operations per weight and patch."""
        return 2 * given.size * self.features


class ClassToken(LayerSpec):
    """
    Put a trained vector before the first position of a sequence, the same for all examples.

    The vector begins at 0.
    """

    kind: Literal["class_token"]

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (length + 1, features)."""
        needs(self, given, SEQUENCE)
        return TensorSpec((given.shape[0] + 1, given.shape[1]), SEQUENCE)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: output position t + 1 depends on input position t."""
        return Reach(1, -1)

    def parameters(self, given: TensorSpec) -> list[Parameter]:
        """Return weight (features,)."""
        return [Parameter("weight", given.shape[-1:])]


class Select(LayerSpec):
    """Return the vector at one position of a sequence."""

    kind: Literal["select"]
    index: int = Field(0, ge=-(2**31), lt=2**31)
    """The position, from 0; -1 is the last."""

    def output(self, given: TensorSpec) -> TensorSpec:
        """Return (features,)."""
        needs(self, given, SEQUENCE)
        length = given.shape[0]
        if not -length <= self.index < length:
            raise ShapeError(
                f"index must be from {-length} to {length - 1} for {given}, got {self.index}"
            )
        return TensorSpec(given.shape[1:], VECTOR)

    def reach(self, given: TensorSpec) -> Reach:
        """Return the reach: the vector depends on the position that is selected."""
        return Reach(0, self.index % given.positions)
