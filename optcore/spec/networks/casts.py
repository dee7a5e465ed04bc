"""Check that the casts of a network are known at MindSpore's levels of mixed precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.spec.errors import reject
from optcore.spec.layers.base import VECTOR
from optcore.spec.layers.blocks import BlockSpec
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.networks.tree import Node

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec


def levels_take_the_layers(run: RunSpec) -> None:
    """Refuse a level of MindSpore for a layer whose casts are not known."""
    precision = run.training.precision
    if not precision.startswith("mindspore_"):
        return
    for node in run.network.nodes:
        if not _has_known_casts(node):
            reject(
                ["training", "precision"],
                f"precision {precision} allows only conv2d (without groups and dilation, padded by "
                "zeros), linear (of vectors), batch_norm and layers without parameters, all "
                f"outside of blocks, got {node.layer.kind} at {node.path}",
                precision,
            )


def _has_known_casts(node: Node) -> bool:
    """Return whether `optcore.training.levels` computes the layer with MindSpore's casts."""
    match node.layer:
        case Conv2d(groups=1, dilation=1, padding_mode="zeros") | BatchNorm():
            return True
        case Linear():
            return node.given.axes == VECTOR
        case BlockSpec():
            return False
    return not node.layer.parameters(node.given)
