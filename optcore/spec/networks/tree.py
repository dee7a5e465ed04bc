"""A network as a tree: its layers with their paths, what each takes and what it returns."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from optcore.packages.entry_points import package_of, raised
from optcore.spec.layers.base import (
    InstalledLayer,
    LayerSpec,
    Parameter,
    PathError,
    ShapeError,
    TensorSpec,
)
from optcore.spec.layers.blocks import MAX_LAYERS, BlockSpec, named
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.memory import MemoryLayer
from optcore.spec.limits import are_lifted
from optcore.spec.networks.memories import not_a_memory

MAX_NODES = 20_000
"""Largest number of layers in a network, repetitions and blocks included."""
MAX_DEPTH = 16
"""Largest number of lists of layers that hold one another."""
MAX_VALUES = 100_000_000
"""Largest number of values that a layer returns for one example."""


class Node(NamedTuple):
    """
    A layer in its place in a network.

    Attributes:
        path: names of the blocks that hold the layer, and the layer's own name, joined by dots. For
            a repeated layer, the path of the first copy.
        layer: the layer.
        given: the input of the layer, with the memory if the layer attends to one.
        output: the output of the layer.
        copies: number of copies in the network, each with parameters of its own.
        parameters: the trainable tensors of the layer; none for a block.
    """

    path: str
    layer: AnyLayer
    given: TensorSpec
    output: TensorSpec
    copies: int
    parameters: tuple[Parameter, ...]


def too_large(layers: object) -> str | None:
    """
    Return why a network is too large for its layers to be validated; None if it is not.

    Args:
        layers: the layers as a client wrote them, as JSON. Values that are not layers are ignored.
    """
    written = total = 0
    left: list[tuple[object, int, int]] = [(layers, 1, 1)]
    while left:
        here, depth, copies = left.pop()
        for layer in here if isinstance(here, list) else ():
            written, total = written + 1, total + copies
            if written > MAX_LAYERS:
                return f"layers must be at most {MAX_LAYERS} together, repetitions not counted"
            if not isinstance(layer, Mapping):
                continue
            times = layer.get("times")
            times = min(times, MAX_NODES) if type(times) is int and times > 0 else 1
            branches = layer.get("branches")
            for inside in (
                layer.get("layers"),
                layer.get("shortcut"),
                *(branches if isinstance(branches, list) else ()),
            ):
                if inside and depth == MAX_DEPTH:
                    return f"layers must be in at most {MAX_DEPTH - 1} blocks, one in another"
                left.append((inside, depth + 1, copies * times))
    if total > MAX_NODES:
        return f"layers must be at most {MAX_NODES}, repetitions and blocks included, got {total}"
    return None


def walk(layers: Sequence[AnyLayer], given: TensorSpec) -> Iterator[Node]:
    """
    Yield the layers of a network in the order in which they are computed; a block after its parts.

    Layers that are repeated are yielded once.

    Raises:
        ShapeError: a layer does not accept its input, or a layer of an installed package raised
            another error. The message begins with the path of the layer.
        PathError: a memory is not an earlier layer of the same list, or of a list around it.
    """
    yield from _walk(layers, given, "", 1, ChainMap())


def _walk(
    layers: Sequence[AnyLayer],
    given: TensorSpec,
    prefix: str,
    copies: int,
    around: ChainMap[str, TensorSpec],
) -> Iterator[Node]:
    """
    Yield the nodes of *layers*.

    Args:
        layers: the layers of a list.
        given: what the first takes.
        prefix: beginning of their paths.
        copies: how many times the network has them.
        around: the outputs of the layers before them in the lists around, by path.
    """
    outputs_of = around.new_child()
    for name, layer in named(layers):
        path = f"{prefix}{name}"
        if isinstance(layer, MemoryLayer):
            if layer.memory not in outputs_of:
                raise PathError(not_a_memory(layer.memory, outputs_of), path)
            given = replace(given, memory=outputs_of[layer.memory])
        parameters: tuple[Parameter, ...] = ()
        try:
            if isinstance(layer, BlockSpec):
                outputs, begin = [], f"{path}.0." if layer.NUMBERED else f"{path}."
                for part in layer.parts:
                    last, inside = given, f"{begin}{part.name}." if part.name else begin
                    for node in _walk(
                        part.layers, given, inside, copies * layer.copies, outputs_of
                    ):
                        yield node
                        last = node.output
                    outputs.append(last)
                output = layer.joined(given, outputs)
            else:
                output = layer.output(given)
                parameters = tuple(layer.parameters(given))
                if isinstance(layer, InstalledLayer):  # so that their errors are told here
                    _ = layer.buffers(given), layer.flops(given)
                    _ = layer.saved(given), layer.workspace(given)
            _check_size(layer, output)
        except ShapeError as error:
            raise error if error.path else ShapeError(str(error), path) from None
        # Any exception, if it is that of other people's code.
        except Exception as error:
            if package_of(type(layer)) is None:
                raise
            raise ShapeError(raised(type(layer), error), path) from error
        yield Node(path, layer, given, output, copies, parameters)
        outputs_of[path] = output
        given = output


def _check_size(layer: LayerSpec, output: TensorSpec) -> None:
    if output.size > MAX_VALUES and not are_lifted():
        raise ShapeError(
            f"{layer.kind} must return at most {MAX_VALUES} values per example, got {output}"
        )
