"""The list of all layers. Add a new layer here and in `optcore.networks.modules`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optcore.spec.layers.activations import LogSoftmax, Relu
from optcore.spec.layers.convolution import Conv2d, MaxPool2d
from optcore.spec.layers.dense import Flatten, Linear
from optcore.spec.layers.regularization import BatchNorm, Dropout

AnyLayer = Annotated[
    Conv2d | MaxPool2d | Linear | Flatten | Relu | Dropout | BatchNorm | LogSoftmax,
    Field(discriminator="kind"),
]
"""Any layer, selected by `kind`."""
