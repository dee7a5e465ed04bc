"""The order in which layers are computed, and the layers whose output may be overwritten."""

from __future__ import annotations

from collections.abc import Sequence

from optcore.spec.layers.activations import Relu
from optcore.spec.layers.blocks import Residual
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.layers.pooling import MaxPool2d

# Not Flatten and Dropout, which may return their input itself, and so the dataset's memory; nor
# Relu and LogSoftmax, whose backward passes read their output.
OWN_OUTPUT = (Conv2d, Linear, BatchNorm, MaxPool2d)
"""Layers whose output is read only by the next layer, not by their own backward pass. A relu after
such a layer may overwrite the output, as a relu may after a residual block."""


def pooled_first(layers: Sequence[tuple[str, AnyLayer]]) -> list[tuple[str, AnyLayer]]:
    """Return *layers*, (name, layer) pairs; a max-pool after a relu is moved before that relu."""
    # The bits are the same: the largest of the values above 0 is the largest of all, the first of
    # equal values stays the first, and where no value is above 0 no gradient flows either way.
    # Neither draws random numbers, so initial weights are the same too.
    ordered = list(layers)
    for i in range(1, len(ordered)):
        if isinstance(ordered[i][1], MaxPool2d) and isinstance(ordered[i - 1][1], Relu):
            ordered[i - 1], ordered[i] = ordered[i], ordered[i - 1]
    return ordered


def sums_in_place(block: Residual) -> bool:
    """Return whether the sum of *block* may overwrite what its layers return."""
    return isinstance(block.layers[-1], OWN_OUTPUT)
