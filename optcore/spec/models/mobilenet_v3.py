"""MobileNetV3: networks of depthwise convolutions for small machines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from optcore.spec.errors import reject
from optcore.spec.layers.blocks import Residual, SequentialBlock
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.dropout import Dropout
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.layers.pooling import AdaptiveAvgPool2d, MaxPool2d
from optcore.spec.layers.shaping import Flatten
from optcore.spec.layers.squeeze_excite import SqueezeExcite
from optcore.spec.models.base import ModelSpec
from optcore.spec.models.parts import (
    Activation,
    NetworkDialect,
    activation,
    convolution,
    normalised,
)
from optcore.spec.tasks.tasks import Target

Size = Literal["small", "large"]
Strides = Annotated[list[Annotated[int, Field(ge=1, le=4)]], Field(min_length=4, max_length=4)]
DIVISOR = 8
"""What the number of channels is a multiple of."""
FIRST = 16
"""Channels of the first convolution, before they are scaled."""


class Row(NamedTuple):
    """
    A block of the paper's tables, with the numbers of channels before they are scaled.

    Attributes:
        kernel: size of the depthwise kernel.
        expanded: number of channels inside the block.
        channels: number of channels that the block returns.
        squeezes: whether there is squeeze and excite.
        act: the activation.
    """

    kernel: int
    expanded: int
    channels: int
    squeezes: bool
    act: Activation


ROWS: dict[Size, tuple[Row, ...]] = {
    "small": (
        Row(3, 16, 16, True, "relu"),
        Row(3, 72, 24, False, "relu"),
        Row(3, 88, 24, False, "relu"),
        Row(5, 96, 40, True, "hardswish"),
        Row(5, 240, 40, True, "hardswish"),
        Row(5, 240, 40, True, "hardswish"),
        Row(5, 120, 48, True, "hardswish"),
        Row(5, 144, 48, True, "hardswish"),
        Row(5, 288, 96, True, "hardswish"),
        Row(5, 576, 96, True, "hardswish"),
        Row(5, 576, 96, True, "hardswish"),
    ),
    "large": (
        Row(3, 16, 16, False, "relu"),
        Row(3, 64, 24, False, "relu"),
        Row(3, 72, 24, False, "relu"),
        Row(5, 72, 40, True, "relu"),
        Row(5, 120, 40, True, "relu"),
        Row(5, 120, 40, True, "relu"),
        Row(3, 240, 80, False, "hardswish"),
        Row(3, 200, 80, False, "hardswish"),
        Row(3, 184, 80, False, "hardswish"),
        Row(3, 184, 80, False, "hardswish"),
        Row(3, 480, 112, True, "hardswish"),
        Row(3, 672, 112, True, "hardswish"),
        Row(5, 672, 160, True, "hardswish"),
        Row(5, 960, 160, True, "hardswish"),
        Row(5, 960, 160, True, "hardswish"),
    ),
}
"""The blocks of each size: tables 1 and 2 of the paper."""
HALVING: dict[Size, tuple[int, ...]] = {"small": (0, 1, 3, 8), "large": (1, 3, 6, 12)}
"""The blocks of stride 2 in dialect torch."""
STRIDED: dict[Size, tuple[int, ...]] = {"small": (0, 1, 3, 8), "large": (0, 1, 3, 12)}
"""The blocks that have the given strides in dialect paddleocr."""
OWN_STRIDES: dict[Size, tuple[int, ...]] = {"small": (2, 2, 2, 2), "large": (1, 2, 2, 2)}
"""The strides in dialect paddleocr, unless others are given."""
LAST: dict[Size, int] = {"small": 576, "large": 960}
"""Channels of the last convolution in dialect paddleocr, before they are scaled."""
HIDDEN: dict[Size, int] = {"small": 1024, "large": 1280}
"""Features of the hidden linear layer in dialect torch, before they are scaled."""


def divisible(value: float) -> int:
    """
    Return the multiple of 8 nearest to *value*, but at least 8 and at least 0.9 * *value*.

    ::

        n = max(8, 8 * floor((value + 4) / 8))
        n = n + 8 where n < 0.9 * value
    """
    found = max(DIVISOR, int(value + DIVISOR / 2) // DIVISOR * DIVISOR)
    return found + DIVISOR if found < 0.9 * value else found


class MobileNetV3(ModelSpec):
    """
    MobileNetV3 for images: torchvision's, or that of PaddleOCR's direction classifier.

    ::

        conv 16@3x3 stride 2 - 11 (small) or 15 (large) blocks - conv@1x1 - mean - linear

        block:  conv@1x1 - depthwise conv@kxk - squeeze and excite - conv@1x1

    conv 16@3x3 is a convolution with 16 output channels and a kernel of 3 x 3; k is the kernel size
    of a block. A batch norm follows each convolution. A relu (first blocks) or hardswish (other
    blocks) follows each batch norm except the last one of a block. A block adds its input to its
    output if it has stride 1 and keeps the number of channels.

    Tables 1 and 2 of the paper have the blocks. A number n of channels becomes ``scale * n``,
    rounded to the nearest multiple of 8, but at least 8. If the result is below 0.9 of
    ``scale * n``, the next multiple of 8 is taken.

    In dialect torch, a block that does not widen its channels has no first convolution. Squeeze and
    excite has a quarter of the channels, rounded in the same way. Batch norms have eps 0.001 and
    momentum 0.01. The last convolution has 6 times the channels of the last block. A hidden linear
    layer of ``scale * 1024`` (small) or ``scale * 1280`` (large) features, with hardswish and
    dropout, comes before the last layer.

    In dialect paddleocr, the blocks have strides along the height only. Squeeze and excite has a
    quarter of the channels, rounded down, and a hardsigmoid of slope 0.2. The last convolution has
    ``scale * 576`` (small) or ``scale * 960`` (large) channels, and a max-pool of 2 x 2 follows it.
    There is no hidden linear layer. Numbers are rounded as in Paddle.

    The last layer is named fc. Initial weights are those of torch's layers.

    References:
        Howard et al., Searching for MobileNetV3, 2019. https://arxiv.org/abs/1905.02244.
        torchvision.models.mobilenet_v3_small; PaddleOCR,
        ppocr/modeling/backbones/rec_mobilenet_v3.py and ppocr/modeling/heads/cls_head.py.
    """

    kind: Literal["mobilenet_v3"]
    size: Size = "small"
    """Which of the two networks of the paper."""
    scale: float = Field(1.0, gt=0, le=8)
    """Factor of the number of channels of every layer: PaddleOCR's direction classifier has 0.35,
    torchvision calls it width_mult."""
    dialect: NetworkDialect = "torch"
    """Whose network: torchvision's (torch) or PaddleOCR's (paddleocr)."""
    strides: Strides | None = None
    """Strides along the height of blocks 0, 1, 3 and 8 (small) or 0, 1, 3 and 12 (large); only in
    dialect paddleocr. null: 2, 2, 2, 2 (small) or 1, 2, 2, 2 (large)."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Probability of dropout before the last layer; only in dialect torch. null: 0.2."""

    @model_validator(mode="after")
    def _fields_are_the_dialects(self) -> Self:
        for name, only in (("strides", "paddleocr"), ("dropout", "torch")):
            value = getattr(self, name)
            if value is not None and self.dialect != only:
                reject(
                    [name],
                    f"{name} must be null in dialect {self.dialect}, since only dialect {only} "
                    f"has it, got {value}",
                    value,
                )
        return self

    def network(self, target: Target) -> list[AnyLayer]:
        """Return conv1, blocks, conv2, (pool,) avgpool, flatten, (fc1, act1, dropout1,) fc."""
        backbone = mobilenet_backbone(
            self.size, self.scale, self.dialect, None if self.strides is None else (*self.strides,)
        )
        dropout = 0.2 if self.dropout is None else self.dropout
        return [*backbone, *_head(self.size, self.scale, self.dialect, dropout, target.size)]


# Making a layer takes 10 us, and a network has hundreds.
@lru_cache(maxsize=64)
def mobilenet_backbone(
    size: Size, scale: float, dialect: NetworkDialect, strides: tuple[int, ...] | None
) -> tuple[AnyLayer, ...]:
    """Return the layers from images to feature maps: the network without its classifier."""
    is_paddle = dialect == "paddleocr"
    channels = divisible(FIRST * scale)
    blocks: list[AnyLayer] = []
    first = channels
    for i, row in enumerate(ROWS[size]):
        stride = _stride(size, dialect, strides, i)
        blocks.append(_block(row, scale, dialect, stride, channels))
        channels = divisible(scale * row.channels)
    last = divisible(scale * LAST[size]) if is_paddle else 6 * channels
    ends: list[AnyLayer] = [
        normalised("conv2", convolution("conv", last, 1), _norm(dialect), "hardswish")
    ]
    if is_paddle:
        ends.append(MaxPool2d(kind="max_pool2d", name="pool", kernel_size=2))
    return (
        normalised("conv1", convolution("conv", first, 3, 2), _norm(dialect), "hardswish"),
        SequentialBlock(kind="sequential", name="blocks", layers=blocks),
        *ends,
    )


def _stride(
    size: Size, dialect: NetworkDialect, strides: tuple[int, ...] | None, block: int
) -> int | tuple[int, int]:
    """Return the stride of a block: one number for both axes, or one number for each axis."""
    if dialect == "torch":
        return 2 if block in HALVING[size] else 1
    if block not in STRIDED[size]:
        return 1
    stride = (OWN_STRIDES[size] if strides is None else strides)[STRIDED[size].index(block)]
    # PaddleOCR gives the first stride of the large network for both axes.
    return stride if (size, block) == ("large", 0) else (stride, 1)


def _block(
    row: Row,
    scale: float,
    dialect: NetworkDialect,
    stride: int | tuple[int, int],
    given: int,
) -> AnyLayer:
    """Return a block that takes *given* channels."""
    expanded, channels = divisible(scale * row.expanded), divisible(scale * row.channels)
    layers: list[AnyLayer] = []
    if dialect == "paddleocr" or expanded != given:
        expand = convolution("conv", expanded, 1)
        layers.append(normalised("expand", expand, _norm(dialect), row.act))
    depthwise = convolution("conv", expanded, row.kernel, stride, groups=expanded)
    layers.append(normalised("depthwise", depthwise, _norm(dialect), row.act))
    if row.squeezes:
        layers.append(_squeeze(expanded, dialect))
    layers.append(normalised("project", convolution("conv", channels, 1), _norm(dialect)))
    # As in PaddleOCR, where a stride of (1, 1) is not equal to 1: such a block has no shortcut.
    if stride == 1 and channels == given:
        return Residual(kind="residual", layers=layers)
    return SequentialBlock(
        kind="sequential", layers=[SequentialBlock(kind="sequential", name="layers", layers=layers)]
    )


def _squeeze(channels: int, dialect: NetworkDialect) -> SqueezeExcite:
    is_paddle = dialect == "paddleocr"
    return SqueezeExcite(
        kind="squeeze_excite",
        name="squeeze",
        squeeze_channels=channels // 4 if is_paddle else divisible(channels // 4),
        gate="hardsigmoid",
        slope=0.2 if is_paddle else 1 / 6,
        dialect="paddle" if is_paddle else "torch",
    )


def _head(
    size: Size, scale: float, dialect: NetworkDialect, dropout: float, outputs: int
) -> Iterator[AnyLayer]:
    """Yield the layers of a classifier."""
    yield AdaptiveAvgPool2d(
        kind="adaptive_avg_pool2d",
        name="avgpool",
        dialect="paddle" if dialect == "paddleocr" else "torch",
    )
    yield Flatten(kind="flatten", name="flatten")
    if dialect == "torch":
        yield Linear(kind="linear", name="fc1", out_features=divisible(scale * HIDDEN[size]))
        yield activation("hardswish", "act1")
        yield Dropout(kind="dropout", name="dropout1", p=dropout)
    yield Linear(kind="linear", name="fc", out_features=outputs)


def _norm(dialect: NetworkDialect) -> BatchNorm:
    if dialect == "paddleocr":
        return BatchNorm(kind="batch_norm", name="bn", dialect="paddle")
    return BatchNorm(kind="batch_norm", name="bn", eps=1e-3, momentum=0.01)
