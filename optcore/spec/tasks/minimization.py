"""Check that functions to minimize have a point, and that a point has a function to minimize."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.datasets.objectives import ObjectiveSpec
from optcore.spec.errors import reject
from optcore.spec.layers.blocks import BlockSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.point import Point
from optcore.spec.training import POINT

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec

FUNCTIONS = ", ".join(kind for kind, each in DATASETS.items() if issubclass(each, ObjectiveSpec))
"""The datasets whose task is minimization."""


def functions_have_points(run: RunSpec) -> None:
    """Refuse a function without the layer point, and the layer point without a function."""
    minimizes = run.dataset.target.task == "minimization"
    # By the layers alone: what they return is checked later, with messages about shapes.
    begins = isinstance(run.network.layers[0], Point)
    if minimizes and not begins and not _begins_with_a_point(run.network.layers[0]):
        reject(
            ["model"],
            "model must be point, or begin with a layer point, for "
            f"{run.dataset.kind}, whose task is minimization, got {run.model.kind}",
            run.model.kind,
        )
    if begins and not minimizes:
        reject(
            ["model"],
            f"model must not begin with a layer point for {run.dataset.kind}, whose task is "
            f"{run.dataset.target.task}; point is for {FUNCTIONS}, got {run.model.kind}",
            run.model.kind,
        )


def _begins_with_a_point(layer: AnyLayer) -> bool:
    """Return whether *layer* is a block that begins with a point, as `points_come_first` says."""
    while isinstance(layer, BlockSpec):
        inside = [part.layers[0] for part in layer.parts if part.layers]
        if not inside:
            return False
        layer = inside[0]
    return isinstance(layer, Point)


def points_come_first(run: RunSpec) -> None:
    """Refuse a point that is not the first layer, and a *start* that init would overwrite."""
    network = run.network
    for i, node in enumerate(network.leaves):
        if not isinstance(node.layer, Point):
            continue
        if i > 0 or network.layers[0] is not node.layer:
            reject(
                ["model"],
                f"layer {node.path}: point must be the first layer of the network, outside of "
                "blocks, since it ignores its input",
                node.path,
            )
        if node.path in network.initial and node.layer.start != 0:
            reject(
                ["model"],
                f"layer {node.path}: start must be 0 if init sets the coordinates",
                node.path,
            )


def points_have_the_columns(run: RunSpec) -> None:
    """Refuse columns of coordinates that the point lacks, or that are not the input of the loss."""
    target = run.dataset.target
    size = target.size if target.task == "minimization" else 0
    for i, name in enumerate(run.training.columns):
        if name not in POINT:
            continue
        if size and len(run.network.layers) > 1:
            reject(
                ["training", "columns", i],
                f"columns must not contain {name} if layers follow the point, since the loss is "
                "then computed from their output",
                name,
            )
        if POINT.index(name) < size:
            continue
        has = f"which has {target.words}"
        if not size:
            has = f"whose task is {target.task}; it is for the task minimization ({FUNCTIONS})"
        reject(
            ["training", "columns", i],
            f"columns must not contain {name} for {run.dataset.kind}, {has}",
            name,
        )
