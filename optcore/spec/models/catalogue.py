"""The list of all models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from optcore.packages.kinds import by_kind, with_installed
from optcore.spec.models.base import ModelSpec
from optcore.spec.models.crnn import Crnn
from optcore.spec.models.gpt import Gpt
from optcore.spec.models.mlp import Mlp
from optcore.spec.models.mnist_cnn import MnistCnn
from optcore.spec.models.mobilenet_v3 import MobileNetV3
from optcore.spec.models.point import SinglePoint
from optcore.spec.models.resnet import ResNet
from optcore.spec.models.sequential import Sequential
from optcore.spec.models.vit import VisionTransformer

AnyModel = Annotated[
    MnistCnn
    | Mlp
    | ResNet
    | MobileNetV3
    | Crnn
    | VisionTransformer
    | Gpt
    | SinglePoint
    | Sequential,
    Field(discriminator="kind"),
]
"""Any model, selected by `kind`; installed packages may add some."""
if not TYPE_CHECKING:
    AnyModel = with_installed(AnyModel, "optserve.models", ModelSpec, ["network"])

MODELS = by_kind(AnyModel, ModelSpec)
"""Maps the name of each model to its class."""
