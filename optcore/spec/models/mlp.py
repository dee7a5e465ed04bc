"""Fully connected networks."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from optcore.spec.layers.activations import Relu
from optcore.spec.layers.base import MAX_UNITS
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.shaping import Flatten
from optcore.spec.models.base import ModelSpec
from optcore.spec.tasks.tasks import Target


class Mlp(ModelSpec):
    """Fully connected layers with relu between them."""

    kind: Literal["mlp"]
    hidden: list[Annotated[int, Field(ge=1, le=MAX_UNITS)]] = Field([128], max_length=32)
    """Width of each hidden layer; an empty list for logistic regression."""

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers flatten, fc1, relu1, fc2, relu2, ..."""
        return list(_mlp(tuple(self.hidden), target.size))


@lru_cache(maxsize=256)
def _mlp(hidden: tuple[int, ...], num_outputs: int) -> tuple[AnyLayer, ...]:
    layers: list[AnyLayer] = [Flatten(kind="flatten", name="flatten")]
    for i, width in enumerate(hidden, 1):
        layers += [
            Linear(kind="linear", name=f"fc{i}", out_features=width),
            Relu(kind="relu", name=f"relu{i}"),
        ]
    last = f"fc{len(hidden) + 1}"
    return (*layers, Linear(kind="linear", name=last, out_features=num_outputs))
