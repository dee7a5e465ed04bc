"""Layers whose output later ones attend to, and whether the output of each layer is used."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from optcore.spec.errors import did_you_mean, short_repr
from optcore.spec.groups.globs import listed
from optcore.spec.layers.base import ShapeError
from optcore.spec.layers.blocks import BlockSpec, named
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.memory import MemoryLayer, Queries


def not_a_memory(path: str, known: Collection[str]) -> str:
    """
    Return why the layer at *path* cannot be a memory.

    Args:
        path: what a layer names.
        known: the paths of the layers before it, in its list and in those around it.
    """
    rule = "memory must be the path of an earlier layer in the same list, or in one around it"
    parts = path.split(".")
    around = (".".join(parts[:n]) for n in range(len(parts) - 1, 0, -1))
    block = next((each for each in around if each in known), None)
    if block is not None:
        return (
            f"{rule}, got {short_repr(path)}, which is in a block; use {block!r}, what it returns"
        )
    same = next((each for each in known if each.rpartition(".")[2] == path), None)
    near = f"; did you mean {same!r}?" if same else did_you_mean(path, known)
    there = f" (there: {listed(list(known))})" if known else " (there is none)"
    return f"{rule}, got {short_repr(path)}{near or there}"


def check_used(layers: Sequence[AnyLayer]) -> None:
    """
    Check that the output of each layer is used.

    Raises:
        ShapeError: what a layer returns, or what the network gets, is used by no layer.
    """
    if not _takes_input(layers, "", read=set()):
        raise ShapeError(
            "queries must not replace all that the network gets: name a layer before them as the "
            "memory of a later one"
        )


def _takes_input(layers: Sequence[AnyLayer], prefix: str, *, read: set[str]) -> bool:
    """
    Return whether *layers*, whose output is used, use their input.

    Args:
        layers: the layers of a list.
        prefix: beginning of their paths.
        read: paths of the memories of later layers; gets those of *layers*.
    """
    is_used = True
    for name, layer in reversed(named(layers)):
        path = f"{prefix}{name}"
        if not is_used and path not in read:
            raise ShapeError(
                f"what {layer.kind} returns must be used: the queries behind it do not take it; "
                f"name {path!r} as the memory of a later layer",
                path,
            )
        is_used = not isinstance(layer, Queries)
        if isinstance(layer, MemoryLayer):
            read.add(layer.memory)
        if isinstance(layer, BlockSpec):
            first = f"{path}.0." if layer.NUMBERED else f"{path}."
            inside = [
                _takes_input(each.layers, f"{first}{each.name}." if each.name else first, read=read)
                for each in layer.parts
            ]
            is_used = any(inside)
            if not is_used and layer.copies > 1:
                raise ShapeError(
                    f"{layer.kind} must use what it takes, else only the last of its "
                    f"{layer.copies} copies counts; queries belong before it",
                    path,
                )
    return is_used
