"""MindSpore's levels of mixed precision: which layers of a network compute in float16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

import torch.nn.functional as F
from torch import Tensor, nn

from optcore.networks.forward import Forward
from optcore.spec.training import Precision

Level = Literal["mindspore_o1", "mindspore_o2", "mindspore_o3"]
LEVELS: tuple[Precision, ...] = ("mindspore_o1", "mindspore_o2", "mindspore_o3")
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
"""The modules that normalize, whose parameters and statistics are float32 in every level."""


def forward_of(model: nn.Module, precision: Precision) -> Callable[[Tensor], Tensor]:
    """
    Return the function that computes the outputs of *model* for a batch.

    If *precision* is not one of MindSpore's levels, the function does what *model* does. With a
    level, layers cast as follows, and the outputs of the network are float32::

        mindspore_o1  conv2d and linear cast input, weight and bias to float16, and their output to
                      float32; all other layers compute in float32
        mindspore_o2  batch_norm casts its input to float32 and its output to float16; all other
                      layers cast input, weight and bias to float16
        mindspore_o3  all layers cast input, weight and bias to float16, except the parameters of
                      batch_norm, whose kernel takes them as float32

    Parameters and their gradients are float32 at each level.

    References:
        auto_mixed_precision and build_train_network in mindspore/train/amp.py of MindSpore 2.10,
        as computed on a CPU, in PyNative mode.
    """
    if precision not in LEVELS:
        return Forward(model)
    assert isinstance(model, nn.Sequential)
    return _Casting(model, cast("Level", precision))


class _Casting:
    """The forward pass of a network, with the casts of a level of mixed precision."""

    def __init__(self, model: nn.Sequential, level: Level) -> None:
        self._model, self._level = model, level

    def __call__(self, images: Tensor) -> Tensor:
        """Return the outputs of the network for a batch of *images*, in float32."""
        for layer in self._model:
            images = self._output(layer, images)
        return images.float()

    def _output(self, layer: nn.Module, given: Tensor) -> Tensor:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            found = _in_halves(layer, given.half())
            return found.float() if self._level == "mindspore_o1" else found
        if self._level == "mindspore_o1":
            return layer(given)  # type: ignore[no-any-return]  # a module returns Any
        if self._level == "mindspore_o2" and isinstance(layer, NORMS):
            return layer(given.float()).half()  # type: ignore[no-any-return]
        return layer(given.half())  # type: ignore[no-any-return]


def _in_halves(layer: nn.Linear | nn.Conv2d, given: Tensor) -> Tensor:
    """Return the output of *layer* for the float16 input *given*, computed in float16."""
    weight = layer.weight.half()
    if isinstance(layer, nn.Linear):
        product = F.linear(given, weight)
    else:
        product = F.conv2d(given, weight, stride=layer.stride, padding=layer.padding)
    if layer.bias is None:
        return product
    # MindSpore adds the bias in an operation of its own, so that the output is rounded twice.
    shape = (-1, *(1,) * (product.dim() - 2))
    return product + layer.bias.half().view(shape)
