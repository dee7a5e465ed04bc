"""Layers that several built-in networks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from optcore.spec.layers.activations import Hardswish, Relu
from optcore.spec.layers.blocks import SequentialBlock
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.normalization import BatchNorm

Activation = Literal["relu", "hardswish"]
NetworkDialect = Literal["torch", "paddleocr"]
"""Whose network: torchvision's or PaddleOCR's."""


def convolution(
    name: str,
    channels: int,
    kernel: int,
    stride: int | Sequence[int] = 1,
    *,
    groups: int = 1,
    padding: int | None = None,
) -> Conv2d:
    """Return a convolution without bias that keeps the sides of an image if *stride* is 1."""
    return Conv2d(
        kind="conv2d",
        name=name,
        out_channels=channels,
        kernel_size=kernel,
        stride=stride if isinstance(stride, int) else list(stride),
        padding=(kernel - 1) // 2 if padding is None else padding,
        groups=groups,
        bias=False,
    )


def activation(kind: Activation, name: str) -> AnyLayer:
    """Return the activation *kind*."""
    return Relu(kind="relu", name=name) if kind == "relu" else Hardswish(kind=kind, name=name)


def normalised(
    name: str, conv: Conv2d, norm: BatchNorm, activation_kind: Activation | None = None
) -> SequentialBlock:
    """Return the layers conv, bn and (if there is an activation) act, under one name."""
    layers: list[AnyLayer] = [conv, norm]
    if activation_kind is not None:
        layers.append(activation(activation_kind, "act"))
    return SequentialBlock(kind="sequential", name=name, layers=layers)
