"""Residual networks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from optcore.spec.layers.activations import Relu
from optcore.spec.layers.blocks import Residual, SequentialBlock
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.layers.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from optcore.spec.layers.shaping import Flatten
from optcore.spec.models.base import ModelSpec
from optcore.spec.models.parts import NetworkDialect, convolution, normalised
from optcore.spec.tasks.tasks import Target

Depth = Literal[18, 34, 50, 101, 152]
"""Number of layers with weights in a residual network."""
BLOCKS: dict[int, tuple[int, ...]] = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Number of blocks in each stage, by depth."""
BOTTLENECKS_FROM = 50
"""Smallest depth whose blocks are bottlenecks."""
EXPANSION = 4
"""Factor by which a bottleneck widens its channels in the end."""
WIDTH = 64
"""Channels of the first stage; each further stage has twice as many."""


class ResNet(ModelSpec):
    """
    A residual network for images: torchvision's, or PaddleOCR's ResNet_vd.

    Each of four stages, with w = 64, 128, 256 and 512 channels, consists of blocks::

        x = relu(layers(x) + shortcut(x))

        depth 18, 34:  layers = conv w@3x3 - conv w@3x3
        others:        layers = conv w@1x1 - conv w@3x3 - conv 4w@1x1

    conv w@3x3 is a convolution with w output channels and a kernel of 3 x 3. There is a batch norm
    after each convolution, and a relu between two convolutions. The first block of stages 2 to 4
    has stride 2, in its first convolution (depth 18 and 34) or in its second (other depths). After
    the stages, the mean over all pixels goes to a linear layer.

    The number of blocks in the four stages is 2, 2, 2, 2 (depth 18), 3, 4, 6, 3 (34 and 50),
    3, 4, 23, 3 (101) or 3, 8, 36, 3 (152).

    In dialect torch, the network begins with a convolution 64@7x7 of stride 2 and a max-pool of
    stride 2. Where stride or channels differ, the shortcut is a convolution of 1 x 1 with the
    stride, and a batch norm.

    Dialect paddleocr is the network of PaddleOCR's text recognizers. It begins with three
    convolutions of 3 x 3 (32, 32 and 64 channels, stride 1) and a max-pool of stride 2. The stages
    have stride 2 along the height and 1 along the width. The first block of each stage has a
    convolution of 1 x 1 in its shortcut. If the block has a stride, a mean over each two rows comes
    before this convolution. A max-pool of stride 2 ends the stages. Batch norms and means have
    Paddle's conventions.

    The last layer is named fc. Initial weights are those of torch's layers.

    References:
        He et al., Deep Residual Learning for Image Recognition, 2015.
        https://arxiv.org/abs/1512.03385. He et al., Bag of Tricks for Image Classification with
        Convolutional Neural Networks, 2018 (ResNet-D). https://arxiv.org/abs/1812.01187.
        torchvision.models.resnet; PaddleOCR, ppocr/modeling/backbones/rec_resnet_vd.py.
    """

    kind: Literal["resnet"]
    depth: Depth = 18
    """Number of layers with weights."""
    dialect: NetworkDialect = "torch"
    """Whose network: torchvision's (torch) or PaddleOCR's ResNet_vd (paddleocr)."""

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the stem, the groups layer1 to layer4, and avgpool, flatten, fc."""
        pool = AdaptiveAvgPool2d(
            kind="adaptive_avg_pool2d",
            name="avgpool",
            dialect="paddle" if self.dialect == "paddleocr" else "torch",
        )
        return [
            *resnet_stages(self.depth, self.dialect),
            pool,
            Flatten(kind="flatten", name="flatten"),
            Linear(kind="linear", name="fc", out_features=target.size),
        ]


# Making a layer takes 10 us, and a network has hundreds.
@lru_cache(maxsize=16)
def resnet_stages(depth: Depth, dialect: NetworkDialect) -> tuple[AnyLayer, ...]:
    """Return the layers from images to feature maps: the network without its classifier."""
    is_vd = dialect == "paddleocr"
    stages: list[AnyLayer] = []
    for i, number in enumerate(BLOCKS[depth]):
        blocks: list[AnyLayer] = [
            _block(depth, dialect, stage=i, first=k == 0) for k in range(number)
        ]
        stages.append(SequentialBlock(kind="sequential", name=f"layer{i + 1}", layers=blocks))
    if is_vd:
        stages.append(MaxPool2d(kind="max_pool2d", name="pool", kernel_size=2))
    return (*_stem(dialect), *stages)


def _stem(dialect: NetworkDialect) -> Iterator[AnyLayer]:
    """Yield the layers before the first stage."""
    if dialect == "paddleocr":
        for i, channels in enumerate((WIDTH // 2, WIDTH // 2, WIDTH), 1):
            conv = convolution("conv", channels, 3)
            yield normalised(f"conv{i}", conv, _norm("bn", dialect), "relu")
    else:
        yield convolution("conv1", WIDTH, 7, 2)
        yield _norm("bn1", dialect)
        yield Relu(kind="relu", name="relu")
    yield MaxPool2d(kind="max_pool2d", name="maxpool", kernel_size=3, stride=2, padding=1)


def _block(depth: Depth, dialect: NetworkDialect, *, stage: int, first: bool) -> SequentialBlock:
    """Return a block: a residual and the relu after it."""
    width, is_bottleneck = WIDTH * 2**stage, depth >= BOTTLENECKS_FROM
    convolutions = [(width, 3), (width, 3)]
    if is_bottleneck:
        convolutions = [(width, 1), (width, 3), (EXPANSION * width, 1)]
    strides = (2, 1 if dialect == "paddleocr" else 2) if first and stage > 0 else (1, 1)
    strided = 2 if is_bottleneck else 1
    layers: list[AnyLayer] = []
    for i, (channels, kernel) in enumerate(convolutions, 1):
        conv = convolution(f"conv{i}", channels, kernel, strides if i == strided else 1)
        layers += [conv, _norm(f"bn{i}", dialect)]
        if i < len(convolutions):
            layers.append(Relu(kind="relu", name=f"relu{i}"))
    # torchvision's first stage of plain blocks keeps its channels, and has no convolution there.
    widens = stage > 0 or is_bottleneck or dialect == "paddleocr"
    shortcut = list(_shortcut(convolutions[-1][0], strides, dialect)) if first and widens else []
    residual = Residual(kind="residual", name="residual", layers=layers, shortcut=shortcut)
    return SequentialBlock(kind="sequential", layers=[residual, Relu(kind="relu", name="relu")])


def _shortcut(
    channels: int, strides: tuple[int, int], dialect: NetworkDialect
) -> Iterator[AnyLayer]:
    """Yield the layers that bring the input of a block to the shape of its output."""
    if dialect == "paddleocr" and strides != (1, 1):
        yield AvgPool2d(
            kind="avg_pool2d",
            name="pool",
            kernel_size=list(strides),
            ceil_mode=True,
            dialect="paddle",
        )
        strides = (1, 1)
    yield convolution("conv", channels, 1, strides)
    yield _norm("bn", dialect)


def _norm(name: str, dialect: NetworkDialect) -> BatchNorm:
    return BatchNorm(
        kind="batch_norm", name=name, dialect="paddle" if dialect == "paddleocr" else "torch"
    )
