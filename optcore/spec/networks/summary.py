"""The output shape, number of parameters and cost of each layer of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def summarize(layers: Sequence[AnyLayer], shape: Shape) -> list[LayerSummary]:
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
    return rows
