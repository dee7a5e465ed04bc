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
from optcore.spec.layers.memory import MemoryLayer, Queries
from optcore.spec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RmsNorm
from optcore.spec.layers.pooling import Pool
from optcore.spec.layers.reach import NOTHING, PRESENT, Reach, widest
from optcore.spec.layers.recurrent import Gru, Lstm
from optcore.spec.layers.transformer import TransformerDecoderLayer, TransformerEncoderLayer
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

    Also return a list of (layer, reach of its output). It has the layers in blocks, but not the
    blocks, and repeated layers once. It does not have the layers before a layer of kind queries,
    whose output later layers only attend to.
    """
    trace = _Trace({node.path: node for node in network.nodes}, network.memories, {}, [])
    return trace.after(network.layers, "", PRESENT), trace.seen


@dataclass(frozen=True)
class _Trace:
    """
    What is known while layers are traced.

    Attributes:
        nodes: the nodes of the network by path.
        memories: path of a layer -> paths of the layers that attend to its output.
        reaches: path of a layer or block that was traced -> reach of its output.
        seen: (layer, reach of its output) for each layer that was traced, without blocks.
    """

    nodes: Mapping[str, Node]
    memories: Mapping[str, Sequence[str]]
    reaches: dict[str, Reach]
    seen: list[tuple[Node, Reach]]

    def after(self, layers: Sequence[AnyLayer], prefix: str, before: Reach) -> Reach:
        """
        Return the reach of the output of *layers*, from that of their input.

        Args:
            layers: layers, one after another.
            prefix: the beginning of the paths of *layers*.
            before: reach of the input of *layers*.
        """
        begin = len(self.seen)
        for name, layer in named(layers):
            node = self.nodes[f"{prefix}{name}"]
            if isinstance(layer, BlockSpec):
                before = self._after_block(layer, node, before)
            elif isinstance(layer, Queries):
                del self.seen[begin:]
                before = NOTHING
            elif isinstance(layer, MemoryLayer):
                own = layer.reach(node.given).after(before)
                before = widest([own, self._of_memory(layer.memory)], node.output.positions)
            else:
                before = layer.reach(node.given).after(before)
            if not isinstance(layer, BlockSpec):
                self.seen.append((node, before))
            self.reaches[node.path] = before
        return before

    def _after_block(self, block: BlockSpec, node: Node, before: Reach) -> Reach:
        first = f"{node.path}.0." if block.NUMBERED else f"{node.path}."
        inside = [
            (each.layers, f"{first}{each.name}." if each.name else first) for each in block.parts
        ]
        positions = node.output.positions
        once = widest([self.after(*each, before) for each in inside], positions)
        if block.copies == 1:
            return once
        # Later copies, as functions of their input; memories from outside are the same for all.
        outside = self._memories_outside(first)
        alone = _Trace(self.nodes, self.memories, dict.fromkeys(outside, NOTHING), [])
        own = widest([alone.after(*each, PRESENT) for each in inside], positions)
        last = own.times(block.copies - 1).after(once)
        return widest([last, *map(self._of_memory, outside)], positions)

    def _of_memory(self, path: str) -> Reach:
        """Return the bound of what a position that attends to the layer at *path* depends on."""
        return Reach.all_of(self.nodes[path].output.positions).after(self.reaches[path])

    def _memories_outside(self, first: str) -> list[str]:
        """Return the layers elsewhere that layers below *first* attend to."""
        return [
            path
            for path, readers in self.memories.items()
            if not path.startswith(first) and any(each.startswith(first) for each in readers)
        ]


def _way(node: Node) -> str:
    """Return the advice how to replace or change a layer that sees later positions."""
    match node.layer:
        case Lstm() | Gru():
            return 'with "bidirectional": false it sees only earlier positions'
        case SelfAttention() | TransformerEncoderLayer():
            return 'with "causal": true it sees only earlier positions'
        case TransformerDecoderLayer():
            return (
                'with "causal": true it sees only earlier positions of its input, but always all '
                f"of its memory, {node.layer.memory}, which must depend on no token after the first"
            )
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
