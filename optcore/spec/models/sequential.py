"""Networks that a client writes as layers."""

from __future__ import annotations

from collections import Counter
from typing import Literal, Self

from pydantic import Field, model_validator

from optcore.spec.errors import reject
from optcore.spec.layers.blocks import MAX_LAYERS
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.models.base import ModelSpec
from optcore.spec.networks.tree import MAX_NODES, count, named
from optcore.spec.tasks.tasks import Target


class Sequential(ModelSpec):
    """A list of layers written by the client; the loss must accept the last layer's outputs."""

    kind: Literal["sequential"]
    layers: list[AnyLayer] = Field(min_length=1, max_length=MAX_LAYERS)
    """The layers, from first to last."""

    @model_validator(mode="after")
    def _layers_are_bounded(self) -> Self:
        number = count(self.layers)
        if number > MAX_NODES:
            reject(
                ["layers"],
                f"layers must be at most {MAX_NODES}, repetitions and blocks included, "
                f"got {number}",
                number,
            )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = Counter(name for name, _ in named(self.layers))
        for i, (name, layer) in enumerate(named(self.layers)):
            if names[name] > 1:
                reject(
                    ["layers", i, "name"], f"name must be used once, got {name!r} twice", layer.name
                )
        return self

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers as given."""
        return list(self.layers)
