"""A network: its layers, and what can be computed from them without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from optcore.spec.errors import did_you_mean, short_repr
from optcore.spec.groups.matching import Parameter
from optcore.spec.layers.base import Parameter as OwnParameter
from optcore.spec.layers.base import Shape, ShapeError, TensorSpec
from optcore.spec.layers.blocks import BlockSpec, SequentialBlock, named
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.init import AnyInit
from optcore.spec.layers.memory import MemoryLayer, Queries
from optcore.spec.networks.initial import initial
from optcore.spec.networks.memories import check_used
from optcore.spec.networks.tree import Node, walk

MAX_CACHED = 2000
"""Largest number of parameters that a network caches. Networks are shared and stay in memory; a run
keeps its own parameters, however many."""


@dataclass(frozen=True)
class LayerSummary:
    """
    A summary of one layer, which a client gets when it validates a spec.

    Attributes:
        name: path of the layer: the names (or numbers) of the blocks that hold the layer, and its
            own name, joined by dots.
        kind: type of the layer.
        output_shape: shape of the output for one example.
        num_parameters: number of trainable numbers in the layer.
        flops: operations in the forward pass of one example; see `LayerSpec.flops`.
        copies: how many times the network has the layer, each with parameters of its own.
    """

    name: str
    kind: str
    output_shape: Shape
    num_parameters: int
    flops: int
    copies: int = 1


class Network:
    """
    The layers of a network, and what they take; everything else is computed when it is needed.

    Args:
        layers: the layers, from first to last.
        given: what the first layer takes.
    """

    def __init__(self, layers: tuple[AnyLayer, ...], given: TensorSpec) -> None:
        self.layers, self.given = layers, given
        self._parameters: tuple[Parameter, ...] | None = None

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """
        The layers with their paths, inputs and outputs; blocks too.

        Raises:
            ShapeError: a layer does not accept its input.
        """
        return tuple(walk(self.layers, self.given))

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        """The nodes without the blocks."""
        return tuple(node for node in self.nodes if not isinstance(node.layer, BlockSpec))

    @property
    def output(self) -> TensorSpec:
        """What the network returns."""
        return self.nodes[-1].output

    @cached_property
    def summary(self) -> tuple[LayerSummary, ...]:
        """A summary of each layer, blocks excluded, in the order in which they are computed."""
        return tuple(_summary(node) for node in self.leaves)

    @cached_property
    def num_parameters(self) -> int:
        """Number of trainable numbers."""
        return sum(row.copies * row.num_parameters for row in self.summary)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, in torch's order, without those that are shared with an earlier layer."""
        if self._parameters is not None:
            return self._parameters
        own = {node.path: node.parameters for node in self.leaves}
        found = tuple(each for each, source in _named(self.layers, "", own, None) if not source)
        if len(found) <= MAX_CACHED:
            self._parameters = found
        return found

    @property
    def tensors(self) -> tuple[Parameter, ...]:
        """The parameters and the buffers: what a file with the network holds."""
        own = {
            node.path: (*node.parameters, *node.layer.buffers(node.given)) for node in self.leaves
        }
        return tuple(each for each, source in _named(self.layers, "", own, None) if not source)

    @property
    def shared(self) -> Mapping[str, str]:
        """Full name of each parameter that a layer shares -> name of the parameter in its place."""
        own = {node.path: node.parameters for node in self.leaves}
        return {each.name: source for each, source in _named(self.layers, "", own, None) if source}

    @cached_property
    def size_of_names(self) -> tuple[int, int]:
        """Number of parameters, and a lower bound on the characters in their names together."""
        own = [
            (node.copies, len(node.path) + 1 + len(each.name))
            for node in self.leaves
            for each in node.parameters
            if each.name not in node.layer.share
        ]
        return sum(n for n, _ in own), sum(n * size for n, size in own)

    def check_shared(self) -> None:
        """
        Check that each parameter that a layer shares is one of an earlier layer.

        Raises:
            ShapeError: no earlier layer has the parameter, or it has another shape.
        """
        known: dict[str, Shape] = {}
        shared: dict[str, str] = {}
        repeats: list[str] = []
        for node in self.nodes:
            if isinstance(node.layer, BlockSpec) and node.layer.NUMBERED:
                repeats.append(node.path)
            own = {each.name: each.shape for each in node.parameters}
            for name, source in node.layer.share.items():
                text = _not_shareable(name, source, own, known, shared, repeats=repeats)
                if text is not None:
                    raise ShapeError(text, node.path)
            for name, shape in own.items():
                full = f"{node.path}.{name}"
                if name in node.layer.share:
                    shared[full] = node.layer.share[name]
                else:
                    known[full] = shape

    def check_used(self) -> None:
        """
        Check that the output of each layer is used, which queries do not do.

        Raises:
            ShapeError: it is used neither by the layer behind it nor as a memory.
        """
        if any(isinstance(node.layer, Queries) for node in self.leaves):
            check_used(self.layers)

    @cached_property
    def memories(self) -> Mapping[str, Sequence[str]]:
        """Path of a layer -> paths of the layers whose memory its output is; of first copies."""
        found: dict[str, list[str]] = {}
        for node in self.leaves:
            if isinstance(node.layer, MemoryLayer):
                found.setdefault(node.layer.memory, []).append(node.path)
        return found

    @cached_property
    def initial(self) -> Mapping[str, Sequence[tuple[str, AnyInit]]]:
        """
        Path of a layer -> (parameter, initialisation) pairs.

        Parameters without a pair have the initial values of torch.

        Raises:
            ShapeError: an initialisation does not fit the parameters of its layer.
        """
        return initial(self.nodes)

    @cached_property
    def draws(self) -> bool:
        """Whether a layer draws random numbers in training."""
        return any(node.layer.draws for node in self.leaves)


# A submission needs it for its checks, its groups and its plan, and most jobs have one of a few
# networks.
@lru_cache(maxsize=64)
def network_of(layers: tuple[AnyLayer, ...], given: TensorSpec) -> Network:
    """Return the network of *layers* for examples like *given*; it is cached."""
    return Network(layers, given)


def _not_shareable(
    name: str,
    source: str,
    own: Mapping[str, Shape],
    known: Mapping[str, Shape],
    shared: Mapping[str, str],
    *,
    repeats: Sequence[str],
) -> str | None:
    """
    Return why a layer cannot have the parameter *source* as its parameter *name*; None if it can.

    Args:
        name: name of the parameter in the layer.
        source: the full name of the other parameter.
        own: the parameters of the layer.
        known: the parameters of the layers before it, by full name.
        shared: full name of each parameter that an earlier layer shares -> name of the parameter
            in its place.
        repeats: paths of the blocks before it that repeat layers.
    """
    if name not in own:
        names = ", ".join(own) or "it has none"
        return f"share must name parameters of the layer ({names}), got {name!r}"
    rule = f"{name} must be a parameter of an earlier layer"
    if source in shared:
        return f"{rule}, got {source!r}, which is shared itself; use {shared[source]!r}"
    if source not in known:
        first = _in_first_copies(source, repeats)
        if first in known:
            rule += ", and of a repeat one of its first copy"
        near = f"; did you mean {first!r}?" if first in known else did_you_mean(source, known)
        return f"{rule}, got {short_repr(source)}{near}"
    if known[source] != own[name]:
        return f"{name} must have the shape of {source}, {known[source]}, got {own[name]}"
    return None


def _in_first_copies(source: str, repeats: Sequence[str]) -> str:
    """Return the name that the parameter *source* has in the first copies of *repeats*."""
    for path in sorted(repeats, key=len):  # a repeat in another has the first copy in its path
        if source.startswith(f"{path}."):
            number, _, rest = source.removeprefix(f"{path}.").partition(".")
            if number.isdigit():
                source = f"{path}.0.{rest}"
    return source


def _summary(node: Node) -> LayerSummary:
    layer = node.layer
    size = sum(p.size for p in node.parameters if p.name not in layer.share)
    flops = layer.flops(node.given)
    return LayerSummary(node.path, layer.kind, node.output.shape, size, flops, node.copies)


def _named(
    layers: Sequence[AnyLayer],
    prefix: str,
    own: Mapping[str, tuple[OwnParameter, ...]],
    within: str | None,
) -> Iterator[tuple[Parameter, str]]:
    """
    Yield (tensor, source) for the tensors of *layers*, once for each copy of a repeated layer.

    If the layer uses a parameter of another layer in place of the tensor, source is the full name
    of that parameter. In all other cases, source is empty.

    Args:
        layers: the layers of a list.
        prefix: the beginning of the layers' paths.
        own: path of a layer -> its tensors. The path of a repeated layer is that of its first copy.
        within: path of the outermost block around *layers* that counts as one layer, if any.
    """
    for name, layer in named(layers):
        path = f"{prefix}{name}"
        if not isinstance(layer, BlockSpec):
            for each in own[path]:
                # The names that torch's nn.Sequential gives: groups, slots and checkpoints use
                # them.
                full = f"{path}.{each.name}"
                found = Parameter(full, each.shape, layer.kind, layer=within)
                yield found, layer.share.get(each.name, "")
            continue
        first = f"{path}.0." if layer.NUMBERED else f"{path}."
        around = within
        if within is None and not isinstance(layer, SequentialBlock):
            around = first.removesuffix(".")
        inside = [
            parameter
            for part in layer.parts
            for parameter in _named(
                part.layers, f"{first}{part.name and f'{part.name}.'}", own, around
            )
        ]
        yield from inside
        for i in range(1, layer.copies):
            for parameter, source in inside:
                rest = parameter.name.removeprefix(first)
                layer_of = within or f"{path}.{i}"
                full = f"{path}.{i}.{rest}"
                yield (
                    Parameter(full, parameter.shape, parameter.module, layer=layer_of),
                    source,
                )
