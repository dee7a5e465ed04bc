"""A network as a tree: its layers with their paths, what each takes and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from optcore.spec.layers.base import LayerSpec, ShapeError, TensorSpec
from optcore.spec.layers.blocks import BlockSpec
from optcore.spec.layers.catalogue import AnyLayer

MAX_NODES = 20_000
"""Largest number of layers in a network, repetitions and blocks included."""


class Node(NamedTuple):
    """
    A layer in its place in a network.

    Attributes:
        path: names of the blocks that hold it and its own name, with dots between them; of layers
            that are repeated, the path of the first.
        layer: the layer.
        given: what it takes.
        output: what it returns.
        copies: how many times the network has it, with parameters of their own.
        repeats: for each repeat that holds it: the path of the repeat, and the number of times.
    """

    path: str
    layer: AnyLayer
    given: TensorSpec
    output: TensorSpec
    copies: int
    repeats: tuple[tuple[str, int], ...]


def named(layers: Sequence[AnyLayer]) -> list[tuple[str, AnyLayer]]:
    """Return a (name, layer) pair for each layer; the number (from 0) replaces a missing name."""
    return [(layer.name or str(i), layer) for i, layer in enumerate(layers)]


def count(layers: Sequence[LayerSpec]) -> int:
    """Return the number of layers, repetitions and blocks included, without building anything."""
    total = 0
    for layer in layers:
        total += 1
        if isinstance(layer, BlockSpec):
            total += layer.copies * sum(count(part.layers) for part in layer.parts)
    return total


def walk(layers: Sequence[AnyLayer], given: TensorSpec) -> Iterator[Node]:
    """
    Yield the layers of a network in the order in which they are computed; a block after its parts.

    Layers that are repeated are yielded once.

    Raises:
        ShapeError: a layer does not accept its input. The message begins with its path.
    """
    yield from _walk(layers, given, "", 1, ())


def _walk(
    layers: Sequence[AnyLayer],
    given: TensorSpec,
    prefix: str,
    copies: int,
    repeats: tuple[tuple[str, int], ...],
) -> Iterator[Node]:
    for name, layer in named(layers):
        path = f"{prefix}{name}"
        output: TensorSpec
        try:
            if isinstance(layer, BlockSpec):
                outputs, times = [], layer.copies
                first = "0." if times > 1 else ""
                inside = (*repeats, (path, times)) if times > 1 else repeats
                for part in layer.parts:
                    last = given
                    begin = f"{path}.{first}{part.name and f'{part.name}.'}"
                    for node in _walk(part.layers, given, begin, copies * times, inside):
                        yield node
                        last = node.output
                    outputs.append(last)
                output = layer.joined(given, outputs)
            else:
                output = layer.output(given)
        except ShapeError as error:
            raise error if error.path else ShapeError(str(error), path) from None
        yield Node(path, layer, given, output, copies, repeats)
        given = output
