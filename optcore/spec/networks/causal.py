"""Check that no position of a language model sees the next tokens, which are its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optcore.spec.errors import reject
from optcore.spec.layers.attention import MultiheadAttention, SelfAttention
from optcore.spec.layers.blocks import BlockSpec, named
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv1d, Conv2d
from optcore.spec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RmsNorm
from optcore.spec.layers.pooling import Pool
from optcore.spec.layers.reach import PRESENT, Reach, widest
from optcore.spec.layers.recurrent import Gru, Lstm
from optcore.spec.layers.transformer import TransformerEncoderLayer
from optcore.spec.networks.network import Network
from optcore.spec.networks.tree import Node

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec


@dataclass(frozen=True)
class Ahead:
    """
    A layer through which an output depends on later positions of the input.

    Attributes:
        node: the first such layer.
        certain: whether the output of the network certainly depends on later positions.
    """

    node: Node
    certain: bool


def sees_no_targets(run: RunSpec) -> None:
    """Refuse a language model in which the output at a position depends on later tokens."""
    found = ahead_of(run)
    if found is not None and found.certain:
        node = found.node
        reject(
            ["model"],
            f"layer {node.path}: {node.layer.kind} must not let a position see later positions, "
            f"whose tokens are the targets of task {run.task}; {_way(node)}",
            run.model.kind,
        )


def doubts(run: RunSpec) -> Iterator[str]:
    """Yield a warning for each layer through which an output may depend on later tokens."""
    found = ahead_of(run)
    if found is not None:
        yield (
            f"layer {found.node.path}: {found.node.layer.kind} may let a position see later "
            f"positions, whose tokens are the targets of task {run.task}; it is not known which "
            f"positions its output depends on. {_way(found.node).capitalize()}"
        )
    if run.task != "language_model":
        return
    for node in run.network.leaves:
        if isinstance(node.layer, BatchNorm) and node.given.positions > 1:
            yield (
                f"layer {node.path}: batch_norm lets a position see later positions in training, "
                "by the mean and variance over all positions; in evaluation it does not"
            )


def ahead_of(run: RunSpec) -> Ahead | None:
    """Return the layer through which an output depends on later tokens; None if there is none."""
    if run.task != "language_model":
        return None
    positions = run.network.given.positions
    reach, seen = traced(run.network)
    if not reach.exceeds(positions):
        return None
    # Where a network is narrowed and widened again, positions are not comparable in between, but
    # the first of them is the same.
    at_once = (node for node, each in seen if each.start >= 1)
    alone = (
        node
        for node, _ in seen
        if node.layer.reach(node.given).exceeds(max(positions, node.output.positions))
    )
    found = next(at_once, None) or next(alone, None) or seen[-1][0]
    return Ahead(found, reach.certain)


def traced(network: Network) -> tuple[Reach, list[tuple[Node, Reach]]]:
    """
    Return which positions of the input the output of *network* depends on.

    Also return (layer, reach of its output) for each layer, without blocks. Layers that are
    repeated are traced once.
    """
    nodes = {node.path: node for node in network.nodes}
    seen: list[tuple[Node, Reach]] = []
    return _after(network.layers, "", PRESENT, nodes, seen), seen


def _after(
    layers: Sequence[AnyLayer],
    prefix: str,
    before: Reach,
    nodes: Mapping[str, Node],
    seen: list[tuple[Node, Reach]],
) -> Reach:
    """
    Return the reach of the output of *layers*, from that of their input.

    Args:
        layers: layers, one after another.
        prefix: the beginning of the layers' paths.
        before: reach of the input of *layers*.
        nodes: the nodes of the network by path.
        seen: list to which (layer, reach of its output) is appended for each layer but blocks.
    """
    for name, layer in named(layers):
        node = nodes[f"{prefix}{name}"]
        if not isinstance(layer, BlockSpec):
            before = layer.reach(node.given).after(before)
            seen.append((node, before))
            continue
        first = f"{node.path}.0." if layer.NUMBERED else f"{node.path}."
        inside = [
            (each.layers, f"{first}{each.name}." if each.name else first) for each in layer.parts
        ]
        positions = node.output.positions
        once = widest([_after(*each, before, nodes, seen) for each in inside], positions)
        if layer.copies > 1:
            own = widest([_after(*each, PRESENT, nodes, []) for each in inside], positions)
            once = own.times(layer.copies - 1).after(once)
        before = once
    return before


def _way(node: Node) -> str:
    """Return the advice how to replace or change a layer that sees later positions."""
    match node.layer:
        case Lstm() | Gru():
            return 'with "bidirectional": false it sees only earlier positions'
        case SelfAttention() | TransformerEncoderLayer():
            return 'with "causal": true it sees only earlier positions'
        case MultiheadAttention():
            return 'self_attention with "causal": true sees only earlier positions'
        case LayerNorm() | RmsNorm() | GroupNorm() | InstanceNorm():
            return (
                "layer_norm and rms_norm of a sequence (length, features) see only their position"
            )
        case Conv1d() | Conv2d():
            kernel, _, _, dilation = node.layer.along
            return _shifted(dilation * (kernel - 1))
        case Pool():
            return _shifted(node.layer.windows[-1] - 1)
    return (
        "layers of a sequence (length, features) that see only earlier positions are lstm, gru, "
        'and self_attention with "causal": true'
    )


def _shifted(ahead: int) -> str:
    """Return the advice for windows of *ahead* + 1 positions: shift the sequence by *ahead*."""
    if not ahead:
        return "with padding 0 and stride 1 it sees only its position"
    layers = "a class_token layer" if ahead == 1 else f"{ahead} class_token layers"
    return (
        f"with padding 0, stride 1 and {layers} before it, which shift the sequence, it sees only "
        "earlier positions"
    )
