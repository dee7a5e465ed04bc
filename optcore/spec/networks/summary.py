"""The shape, parameters and cost of each layer of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optcore.spec.networks.base import Shape, ShapeError
from optcore.spec.networks.layers import AnyLayer


@dataclass(frozen=True)
class LayerSummary:
    """
    One layer of a network, as validate shows it.

    Attributes:
        name: the layer's name.
        kind: what it is.
        output_shape: for one example.
        num_parameters: trainable numbers.
        flops: of the forward pass of one example.
    """

    name: str
    kind: str
    output_shape: Shape
    num_parameters: int
    flops: int


def named(layers: Sequence[AnyLayer]) -> list[tuple[str, AnyLayer]]:
    """Return each layer with its name: the one it has, or its number."""
    return [(layer.name or str(i), layer) for i, layer in enumerate(layers)]


def summarize(layers: Sequence[AnyLayer], shape: Shape) -> list[LayerSummary]:
    """
    Return a summary of each layer, for examples of *shape*.

    Raises:
        ShapeError: a layer cannot take what the one before it gives.
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
