"""Networks that a client writes as layers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from optcore.spec.errors import reject
from optcore.spec.layers.blocks import Layers
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.models.base import ModelSpec
from optcore.spec.networks.tree import too_large
from optcore.spec.tasks.tasks import Target


class Sequential(ModelSpec):
    """A list of layers written by the client; the loss must accept the last layer's outputs."""

    kind: Literal["sequential"]
    layers: Layers = Field(min_length=1)
    """The layers, from first to last."""

    @field_validator("layers", mode="before")
    @classmethod
    def _are_bounded(cls, layers: object) -> object:
        # Before any layer is validated: a megabyte of them would take half a second.
        if (why := too_large(layers)) is not None:
            reject([], why, None)
        return layers

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers as given."""
        return list(self.layers)
