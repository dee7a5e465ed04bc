"""Check that networks of tokens fit the dataset, the precision and the optimizer of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.spec.errors import reject
from optcore.spec.layers.embedding import Embedding
from optcore.spec.optimizers.sparse import TAKES_SPARSE, takes_sparse

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec


def tokens_fit(run: RunSpec) -> None:
    """Refuse embeddings with too few rows, and precisions that cast the inputs of every layer."""
    dataset, precision = run.dataset, run.training.precision
    if not dataset.input.integers:
        return
    if precision.startswith("mindspore"):
        text = f"precision {precision} must have a dataset of real numbers, got tokens of "
        reject(["training", "precision"], text + dataset.kind, precision)
    size = dataset.target.size
    for node in run.network.leaves:
        layer = node.layer
        if isinstance(layer, Embedding) and layer.num_embeddings < size:
            reject(
                ["model"],
                f"layer {node.path}: num_embeddings must be at least {size}, the number of tokens "
                f"of {dataset.kind}, got {layer.num_embeddings}",
                layer.num_embeddings,
            )


def sparse_gradients_are_taken(run: RunSpec) -> None:
    """Refuse sparse embeddings if the optimizer cannot take or would not get sparse gradients."""
    sparse = {
        f"{node.path}.weight": node.path
        for node in run.network.leaves
        if isinstance(node.layer, Embedding)
        and node.layer.sparse
        and f"{node.path}.weight" not in run.frozen
    }
    if not sparse:
        return
    if run.training.accumulate > 1:
        # A checkpoint within a step would hold a dense gradient, with which every row is updated.
        reject(
            ["training", "accumulate"],
            "accumulate must be 1 with row-sparse gradients (sparse of layer "
            f"{next(iter(sparse.values()))}), got {run.training.accumulate}",
            run.training.accumulate,
        )
    for node in run.network.leaves:
        for name, source in node.layer.share.items():
            if source in sparse:
                reject(
                    ["model"],
                    f"layer {sparse[source]}: sparse must be false, since {node.path}.{name} "
                    "shares the parameter, whose gradient is then dense",
                    True,
                )
    for group in run.groups():
        found = next((name for name in group.names if name in sparse), None)
        if found is not None and not takes_sparse(group.spec):
            clip = group.spec.clip
            whose = f"{group.spec.kind} in dialect {group.spec.dialect}"
            if takes_sparse(group.spec.model_copy(update={"clip": None})):
                assert clip is not None
                whose = f"a clip of kind {clip.kind}"
            reject(
                ["model"],
                f"layer {sparse[found]}: sparse must be false for {whose}, which takes no "
                f"row-sparse gradients; {', '.join(sorted(TAKES_SPARSE))} take them",
                True,
            )
