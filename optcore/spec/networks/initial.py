"""Which parameters of a network have an initialisation of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cached_property

from optcore.spec.errors import did_you_mean
from optcore.spec.groups.globs import Globs
from optcore.spec.layers.base import Parameter, ShapeError
from optcore.spec.layers.blocks import BlockSpec
from optcore.spec.layers.init import WEIGHTS, AnyInit
from optcore.spec.networks.tree import Node

MOST_NAMED = 8
"""Largest number of parameters that an error names."""


MATRIX_DIMS = 2
"""Smallest number of dimensions of the parameters that `WEIGHTS` stands for."""
MAX_COMPARED = 100_000
"""Largest number of comparisons of a parameter with a glob; each takes up to a microsecond."""


class _Source:
    """
    The initialisations of a layer or block.

    Args:
        node: the layer, in its place in the network.
        numbered: the paths of the blocks that repeat layers; in a full name, the number of the
            repetition follows such a path.

    Attributes:
        path: the path of the layer.
        layer: the layer.
    """

    def __init__(self, node: Node, numbered: Set[str]) -> None:
        self.path, self.layer = node.path, node.layer
        self._used: set[str] = set()
        self._known: list[str] = []
        self._numbered = numbered
        self._has_matrices = isinstance(node.layer, BlockSpec) or any(
            len(each.shape) >= MATRIX_DIMS for each in node.parameters
        )

    @cached_property
    def _globs(self) -> list[tuple[str, Globs, AnyInit]]:
        """The globs, the longest first; made when the first parameter is compared."""
        init = self.layer.init
        # Not in the order of the JSON object, in which its keys have none.
        ordered = sorted(init.keys() - {WEIGHTS}, key=lambda glob: (-len(glob), glob))
        return [(glob, Globs([glob]), init[glob]) for glob in ordered]

    def find(self, name: str, dims: int) -> AnyInit | None:
        """Return the initialisation of the parameter with the full name *name*."""
        own = self._name_inside(name)
        self._known.append(own)
        for glob, compiled, init in self._globs:
            if own in compiled:
                self._used.add(glob)
                return init
        if dims >= MATRIX_DIMS or (not self._has_matrices and own == "weight"):
            self._used.add(WEIGHTS)
            return self.layer.init.get(WEIGHTS)
        return None

    def _name_inside(self, name: str) -> str:
        """Return *name* without the path of this layer and the numbers of repetitions."""
        parts, here = [], self.path
        for part in name.removeprefix(f"{self.path}.").split("."):
            if here not in self._numbered:
                parts.append(part)
            here = f"{here}.{part}"
        return ".".join(parts)

    def check(self) -> None:
        """Raise `ShapeError` if a glob was not used."""
        for glob in self.layer.init:
            if glob not in self._used:
                names = ", ".join(self._known[:MOST_NAMED]) or "none"
                more = ", ..." if len(self._known) > MOST_NAMED else ""
                near = did_you_mean(glob, self._known)
                raise ShapeError(
                    "init must match parameters of the layer that nothing else initialises "
                    f"({names}{more}), got {glob!r}{near}",
                    self.path,
                )


def initial(nodes: Sequence[Node]) -> Mapping[str, Sequence[tuple[str, AnyInit]]]:
    """
    Return path of a layer -> (parameter, initialisation) pairs, for layers that have any.

    The path of a repeated layer is that of its first copy. All copies have the same
    initialisations. Parameters that are shared with an earlier layer have the initialisation of
    that layer.

    Args:
        nodes: the layers of the network; blocks come after their parts, as `walk` yields them.

    Raises:
        ShapeError: a glob matches no parameter, or an initialisation does not fit a parameter.
    """
    numbered = {n.path for n in nodes if isinstance(n.layer, BlockSpec) and n.layer.NUMBERED}
    sources = {node.path: _Source(node, numbered) for node in nodes if node.layer.init}
    if not sources:
        return {}
    found: dict[str, list[tuple[str, AnyInit]]] = {}
    compared = 0
    for node in nodes:
        if isinstance(node.layer, BlockSpec):
            continue
        over = [sources[path] for path in _paths_to(node.path) if path in sources]
        for own in _initialised(node) if over else ():
            compared += sum(len(each.layer.init) for each in over)
            if compared > MAX_COMPARED:
                text = f"init must compare at most {MAX_COMPARED} pairs of a glob and a parameter"
                raise ShapeError(text, over[-1].path)
            name = f"{node.path}.{own.name}"
            dims = len(own.shape)
            init = next((each for s in over if (each := s.find(name, dims)) is not None), None)
            if init is not None:
                _check_dims(init, own, node.path)
                found.setdefault(node.path, []).append((own.name, init))
        if node.path in sources:  # nothing else can use its globs
            sources[node.path].check()
    for source in sources.values():
        source.check()
    return found


def _initialised(node: Node) -> Iterable[Parameter]:
    """Return the parameters that the layer of *node* does not share with an earlier layer."""
    own = node.layer.parameters(node.given)
    return (each for each in own if each.name not in node.layer.share)


def _paths_to(path: str) -> list[str]:
    """Return *path* and the paths of all blocks that may hold its layer, innermost first."""
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]


def _check_dims(init: AnyInit, own: Parameter, path: str) -> None:
    if len(own.shape) < init.MIN_DIMS:
        raise ShapeError(
            f"init {init.kind} needs a parameter of at least {init.MIN_DIMS} dimensions, got "
            f"{own.name} of shape {own.shape}",
            path,
        )
