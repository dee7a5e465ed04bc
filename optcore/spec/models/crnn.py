"""Networks that read text in images: CRNN, and Rosetta, which has no recurrent layers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject
from optcore.spec.layers.base import MAX_UNITS
from optcore.spec.layers.blocks import SequentialBlock
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.recurrent import Lstm
from optcore.spec.layers.shaping import Permute
from optcore.spec.models.base import ModelSpec
from optcore.spec.models.mobilenet_v3 import Size, Strides, mobilenet_backbone
from optcore.spec.models.resnet import Depth, resnet_stages
from optcore.spec.tasks.tasks import Target


class MobileNetV3Backbone(Spec):
    """The convolutions of `mobilenet_v3` in dialect paddleocr."""

    kind: Literal["mobilenet_v3"]
    size: Size = "small"
    """Which of the two networks of the paper."""
    scale: float = Field(0.5, gt=0, le=8)
    """Factor of the number of channels of every layer."""
    strides: Strides = Field([1, 2, 2, 2])
    """Strides along the height of blocks 0, 1, 3 and 8 (small) or 0, 1, 3 and 12 (large). With
    1, 2, 2, 2, images of 17 to 48 rows come out with height 1; with 2, 2, 2, 2, of 33 to 96."""

    def layers(self) -> tuple[AnyLayer, ...]:
        """Return the layers, from images to images."""
        return mobilenet_backbone(self.size, self.scale, "paddleocr", (*self.strides,))


class ResNetVdBackbone(Spec):
    """The convolutions of `resnet` in dialect paddleocr, ResNet_vd."""

    kind: Literal["resnet_vd"]
    depth: Depth = 34
    """Number of layers with weights. Images of 17 to 48 rows come out with height 1."""

    def layers(self) -> tuple[AnyLayer, ...]:
        """Return the layers, from images to images."""
        return resnet_stages(self.depth, "paddleocr")


Backbone = Annotated[MobileNetV3Backbone | ResNetVdBackbone, Field(discriminator="kind")]


class Crnn(ModelSpec):
    """
    PaddleOCR's network for reading text: convolutions, LSTMs, and a linear layer for CTC.

    ::

        backbone - each column is a position - lstm - linear

    The backbone must return images of height 1, whose columns are the positions of a sequence. The
    lstm reads it in both directions. The linear layer has one output per class and one for the
    blank of the loss ctc, which is output 0; the network returns its logits, (steps, classes + 1).

    The first layers are the group backbone, the last layer is named fc. Initial weights are those
    of torch's layers.

    References:
        Shi, Bai and Yao, An End-to-End Trainable Neural Network for Image-based Sequence
        Recognition, 2015. https://arxiv.org/abs/1507.05717. PaddleOCR, ppocr/modeling: necks/rnn.py
        and heads/rec_ctc_head.py. With ``layers`` 0: Borisyuk, Gordo and Sivakumar, Rosetta, 2018.
        https://arxiv.org/abs/1910.05085.
    """

    kind: Literal["crnn"]
    backbone: Backbone = Field(default_factory=lambda: MobileNetV3Backbone(kind="mobilenet_v3"))
    """The convolutions."""
    hidden: int = Field(48, ge=1, le=MAX_UNITS)
    """Width of the lstm in each direction, PaddleOCR's hidden_size."""
    layers: int = Field(2, ge=0, le=64)
    """Number of layers of the lstm; 0 for no lstm, PaddleOCR's encoder_type reshape."""

    @model_validator(mode="after")
    def _hidden_is_of_the_lstm(self) -> Self:
        if not self.layers and self.hidden != self.default_of("hidden"):
            text = f"hidden must be left out if layers is 0, as there is no lstm, got {self.hidden}"
            reject(["hidden"], text, self.hidden)
        return self

    def network(self, target: Target) -> list[AnyLayer]:
        """Return the layers backbone, im2seq, lstm (if there is one), fc."""
        found: list[AnyLayer] = [
            SequentialBlock(
                kind="sequential", name="backbone", layers=list(self.backbone.layers())
            ),
            Permute(kind="permute", name="im2seq", axes="sequence"),
        ]
        if self.layers:
            found.append(
                Lstm(
                    kind="lstm",
                    name="lstm",
                    hidden_size=self.hidden,
                    num_layers=self.layers,
                    bidirectional=True,
                )
            )
        return [*found, Linear(kind="linear", name="fc", out_features=target.size + 1)]
