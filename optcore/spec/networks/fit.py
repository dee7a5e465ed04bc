"""Check that the network of a run fits its other parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import TYPE_CHECKING

from optcore.spec.base import value_of
from optcore.spec.errors import reject
from optcore.spec.groups.globs import comparison
from optcore.spec.layers.activations import LogSoftmax, Sigmoid, Softmax
from optcore.spec.layers.base import PathError, ShapeError
from optcore.spec.layers.blocks import Repeat, SequentialBlock
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.normalization import BatchNorm
from optcore.spec.limits import MAX_COMPARED, are_lifted
from optcore.spec.networks.causal import doubts

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec

MAX_PARAMETERS = 500_000_000
"""Largest number of trainable numbers in a model."""
MAX_TENSORS = 20_000
"""Largest number of tensors of parameters in a model."""
MAX_CHARACTERS = 500_000  # 25 for each tensor
"""Largest number of characters in the names of all tensors of a model: the plan lists them."""


def layers_fit(run: RunSpec) -> None:
    """Refuse a network that does not fit the examples, the targets or the loss, or is too large."""
    network = run.network
    try:
        output = network.output
    except PathError as error:
        reject(["model"], str(error), run.model.kind)
    except ShapeError as error:
        reject(
            ["model"],
            f"model must accept examples of {run.dataset.kind}, which are {run.dataset.input}: "
            f"{error}",
            run.model.kind,
        )
    _names_are_bounded(run)
    try:
        network.check_used()
        network.check_shared()
        _ = network.initial
    except ShapeError as error:
        reject(["model"], str(error), run.model.kind)
    loss, target, last = run.training.loss, run.dataset.target, last_layer(network.layers)
    if not loss.takes(output, target):
        reject(
            ["model"],
            f"model must fit loss {loss.kind}, which needs {loss.needed(target)}, got an output "
            f"{output}; {run.dataset.kind} has {target.words}",
            run.model.kind,
        )
    if loss.TAKES_LOGARITHMS and not isinstance(last, LogSoftmax):
        reject(
            ["training", "loss", "kind"],
            f"loss {loss.kind} needs a model whose last layer is log_softmax, got "
            f"{last.kind}; for a model without log_softmax, use cross_entropy",
            loss.kind,
        )
    size = network.num_parameters
    if not 0 < size <= MAX_PARAMETERS:
        reject(
            ["model"],
            f"model must have from 1 to {MAX_PARAMETERS} parameters, got {size}",
            run.model.kind,
        )


def _names_are_bounded(run: RunSpec) -> None:
    """Refuse a network whose parameters are too many to list, or have too long names."""
    tensors, characters = run.network.size_of_names
    for name, most, got in (
        ("tensors of parameters", MAX_TENSORS, tensors),
        ("characters in the names of its parameters", MAX_CHARACTERS, characters),
    ):
        if got > most and not are_lifted():
            text = f"model must have at most {most} {name}, repetitions included, got {got}"
            reject(["model"], text, run.model.kind)


def last_layer(layers: Sequence[AnyLayer]) -> AnyLayer:
    """Return the last layer; a residual or parallel block, which joins its parts, is one layer."""
    last = layers[-1]
    return last_layer(last.layers) if isinstance(last, (SequentialBlock, Repeat)) else last


def network_warnings(run: RunSpec) -> Iterator[str]:
    """Yield warnings about layers that a run accepts, but that are probably not intended."""
    yield from doubts(run)
    loss, last = run.training.loss, last_layer(run.network.layers)
    if loss.COMPUTES is None or not isinstance(last, (Softmax, LogSoftmax, Sigmoid)):
        return
    if last.kind == loss.COMPUTES == "log_softmax":
        yield f"model: the last layer, log_softmax, changes nothing: loss {loss.kind} computes it"
    else:
        yield (
            f"model: the last layer, {last.kind}, must probably be left out: loss {loss.kind} "
            f"takes logits, and computes {loss.COMPUTES} itself"
        )


def comparisons_are_bounded(run: RunSpec) -> None:
    """Refuse globs that would take long to compare with the names of a large network."""
    if are_lifted():
        return
    groups = len(str(value_of(run.optimizer, "no_weight_decay_name", "")).split())
    for group in run.optimizer.groups:
        if group.preset == "layer_decay":  # a group for each layer
            groups += sum(node.copies for node in run.network.leaves if node.parameters)
            break  # it leaves no parameter for later ones
        groups += group.comparisons
    by_field = {
        ("optimizer", "groups"): groups,
        ("optimizer", "exclude"): sum(map(comparison, value_of(run.optimizer, "exclude", []))),
        ("training", "frozen"): sum(map(comparison, run.training.frozen)),
    }
    compared, (_, characters) = sum(by_field.values()), run.network.size_of_names
    if characters * compared > MAX_COMPARED:
        names = " and ".join(name for (_, name), each in by_field.items() if each)
        most = max(by_field, key=by_field.__getitem__)
        reject(
            most,
            f"{names} must compare at most {MAX_COMPARED} characters, got {characters} in "
            f"the names of the parameters times {compared} for globs: 1 for one with * only at its "
            "ends, 2 for each wildcard of another (with ? or [ at least 10); 1 for each layer with "
            "layer_decay; names without wildcards count nothing",
            compared,
        )


def no_batch_of_one_is_normalised(run: RunSpec) -> None:
    """Refuse a last batch of one example that a batch_norm cannot normalise."""
    # torch raises an error only when it reaches that batch, at the end of the first pass.
    last = run.dataset.train_examples % run.dataset.batch_size or run.dataset.batch_size
    for node in run.network.leaves:
        name, layer, shape = node.path, node.layer, node.given.shape
        # A channel of an image has a value per pixel, so a batch of one image can be normalised.
        if last == 1 and isinstance(layer, BatchNorm) and prod(shape[1:]) == 1:
            reject(
                ["dataset", "batch_size"],
                f"batch_size must not leave a last batch of 1 example, which layer {name} "
                f"(batch_norm) cannot normalise, got {run.dataset.batch_size} for "
                f"{run.dataset.train_examples} examples",
                run.dataset.batch_size,
            )
