"""Models: built-in networks and networks that a client writes. All of them are lists of layers."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec, by_kind
from optcore.spec.errors import reject
from optcore.spec.layers.activations import Relu
from optcore.spec.layers.base import MAX_UNITS
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.pooling import MaxPool2d
from optcore.spec.layers.shaping import Flatten
from optcore.spec.networks.tree import named


class ModelSpec(Spec):
    """The base of all models."""

    kind: str
    """Name of the model."""

    def network(self, num_outputs: int) -> list[AnyLayer]:
        """Return the layers of the network with *num_outputs* outputs."""
        raise NotImplementedError


class MnistCnn(ModelSpec):
    """
    The convolutional network from Paddle's comparison of optimizers on MNIST.

    ::

        conv 20@5x5 pad 2 - relu - max-pool 2 - conv 20@5x5 pad 2 - relu - max-pool 2 - linear

    On 28x28 images the last layer maps 980 features to 10, and the network has 20,350 parameters.
    """

    kind: Literal["mnist_cnn"]

    def network(self, num_outputs: int) -> list[AnyLayer]:
        """Return the layers conv1, relu1, pool1, conv2, relu2, pool2, flatten, fc."""
        return list(_mnist_cnn(num_outputs))


# Tuples, since runs share them. Making a layer takes 10 us, and most jobs have one of a few shapes.
@lru_cache(maxsize=16)
def _mnist_cnn(num_outputs: int) -> tuple[AnyLayer, ...]:
    blocks: list[AnyLayer] = []
    for i in (1, 2):
        blocks += [
            Conv2d(kind="conv2d", name=f"conv{i}", out_channels=20, kernel_size=5, padding=2),
            Relu(kind="relu", name=f"relu{i}"),
            MaxPool2d(kind="max_pool2d", name=f"pool{i}", kernel_size=2),
        ]
    # The weights recorded from Paddle in tests/golden/e2e have these names.
    flatten = Flatten(kind="flatten", name="flatten")
    return (*blocks, flatten, Linear(kind="linear", name="fc", out_features=num_outputs))


class Mlp(ModelSpec):
    """Fully connected layers with relu between them."""

    kind: Literal["mlp"]
    hidden: list[Annotated[int, Field(ge=1, le=MAX_UNITS)]] = Field([128], max_length=32)
    """Width of each hidden layer; an empty list for logistic regression."""

    def network(self, num_outputs: int) -> list[AnyLayer]:
        """Return the layers flatten, fc1, relu1, fc2, relu2, ..."""
        return list(_mlp(tuple(self.hidden), num_outputs))


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


class Sequential(ModelSpec):
    """A list of layers written by the client; the loss must accept the last layer's outputs."""

    kind: Literal["sequential"]
    layers: list[AnyLayer] = Field(min_length=1, max_length=200)
    """The layers, from first to last."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = Counter(name for name, _ in named(self.layers))
        for i, (name, layer) in enumerate(named(self.layers)):
            if names[name] > 1:
                reject(
                    ["layers", i, "name"], f"name must be used once, got {name!r} twice", layer.name
                )
        return self

    def network(self, num_outputs: int) -> list[AnyLayer]:
        """Return the layers as given."""
        return list(self.layers)


AnyModel = Annotated[MnistCnn | Mlp | Sequential, Field(discriminator="kind")]
"""Any model, selected by `kind`."""

MODELS = by_kind(AnyModel, ModelSpec)
"""Maps the name of each model to its class."""
