"""The convolutional network from Paddle's comparison of optimizers on MNIST."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from optcore.spec.layers.activations import Relu
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.pooling import MaxPool2d
from optcore.spec.layers.shaping import Flatten
from optcore.spec.models.base import ModelSpec
from optcore.spec.tasks.tasks import Target


class MnistCnn(ModelSpec):
    """
    The convolutional network from Paddle's comparison of optimizers on MNIST.

    ::

        conv 20@5x5 pad 2 - relu - max-pool 2 - conv 20@5x5 pad 2 - relu - max-pool 2 - linear

    conv 20@5x5 is a convolution with 20 output channels and a kernel of 5 x 5. On 28x28 images, the
    last layer maps 980 features to 10, and the network has 20,350 parameters.
    """

    kind: Literal["mnist_cnn"]

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers conv1, relu1, pool1, conv2, relu2, pool2, flatten, fc."""
        return list(_mnist_cnn(target.size))


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
