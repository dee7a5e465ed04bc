"""The output shape, number of parameters and cost of each layer of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from optcore.spec.groups.matching import Parameter
from optcore.spec.networks.base import Shape, ShapeError
from optcore.spec.networks.layers import AnyLayer


@dataclass(frozen=True)
class LayerSummary:
    """
    A summary of one layer, which a client gets when it validates a spec.

    Attributes:
        name: name of the layer, or its number (from 0) if it has no name.
        kind: type of the layer.
        output_shape: shape of the output for one example.
        num_parameters: number of trainable numbers in the layer.
        flops: multiplications and additions in the forward pass of one example.
    """

    name: str
    kind: str
    output_shape: Shape
    num_parameters: int
    flops: int


def named(layers: Sequence[AnyLayer]) -> list[tuple[str, AnyLayer]]:
    """Return a (name, layer) pair for each layer; the number (from 0) replaces a missing name."""
    return [(layer.name or str(i), layer) for i, layer in enumerate(layers)]


# The checks of a run, its plan and its groups need these, and most jobs have one of a few networks.
@lru_cache(maxsize=64)
def summarize(layers: tuple[AnyLayer, ...], shape: Shape) -> tuple[LayerSummary, ...]:
    """
    Return a summary of each layer, for examples of *shape*.

    Raises:
        ShapeError: a layer does not accept the output of the layer before it.
    """
    rows = []
    for name, layer in named(layers):
        try:
            out = layer.output_shape(shape)
        except ShapeError as error:
            raise ShapeError(f"layer {name}: {error}") from None
        parameters = layer.parameters(shape)
        size = sum(p.size for p in parameters)
        rows.append(LayerSummary(name, layer.kind, out, size, layer.flops(shape)))
        shape = out
    return tuple(rows)


@lru_cache(maxsize=64)
def parameters_of(layers: tuple[AnyLayer, ...], shape: Shape) -> tuple[Parameter, ...]:
    """Return the parameters of a network for examples of *shape*, in the order of its layers."""
    found = []
    for name, layer in named(layers):
        found += [
            # The names that torch's nn.Sequential gives: groups, slots and checkpoints use them.
            Parameter(f"{name}.{parameter.name}", parameter.shape, layer.kind)
            for parameter in layer.parameters(shape)
        ]
        shape = layer.output_shape(shape)
    return tuple(found)
