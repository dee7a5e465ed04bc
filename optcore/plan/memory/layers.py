"""What each layer of a network adds to the memory of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import NamedTuple

from optcore.spec.layers.activations import Gelu, Identity, Relu
from optcore.spec.layers.attention import SelfAttention
from optcore.spec.layers.base import TensorSpec
from optcore.spec.layers.blocks import BlockSpec, Parallel, Residual, named
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.convolution import Conv2d
from optcore.spec.layers.dense import Linear
from optcore.spec.layers.dropout import Dropout
from optcore.spec.layers.normalization import LayerNorm, RmsNorm
from optcore.spec.layers.pooling import GlobalPool, MaxPool2d
from optcore.spec.layers.shaping import Flatten
from optcore.spec.layers.sizes import each
from optcore.spec.networks.network import Network
from optcore.spec.networks.order import OWN_OUTPUT, pooled_first, sums_in_place
from optcore.spec.networks.tree import Node

INDEX_BYTES = 8
"""Bytes of the position that a max-pool keeps for each of its outputs."""
NOT_READ = (*OWN_OUTPUT, LayerNorm, RmsNorm, Gelu, Residual, Parallel)
"""Layers and blocks whose output their own backward pass does not read."""
BLOCK, DEPTHWISE = 16, 9
"""Number of channels that oneDNN computes at a time, and most elements of a depthwise kernel for
which it has code of its own."""


class _Beside(NamedTuple):
    """
    What the blocks around a layer hold in memory while the layer is computed.

    Attributes:
        forward: number of elements of the blocks' inputs, of the outputs of parts that are not
            joined yet, and of the memories to which later layers attend.
        backward: number of elements of the gradients of these tensors.
    """

    forward: int = 0
    backward: int = 0

    def with_more(self, forward: int, backward: int) -> _Beside:
        """Return the numbers with *forward* and *backward* added."""
        return _Beside(self.forward + forward, self.backward + backward)


class LayerMemory(NamedTuple):
    """
    What determines the memory that a layer takes.

    Attributes:
        inputs: number of elements in the input for an example.
        outputs: number of elements in the output for an example.
        trained: number of elements in the parameters that are trained.
        is_view: whether the output shares the memory of the input.
        is_flatten: whether the gradient of the input also shares the memory of the gradient of the
            output.
        saved: number of values that are kept for the backward pass, per element of the output.
        inner: number of further values that are kept for the backward pass, for an example.
        index_bytes: further bytes that are kept for the backward pass, per element of the output.
        workspace: number of values that computing an example takes besides input and output.
        taken: number of elements in the input for an example; 0 if they are counted elsewhere.
        reordered: number of elements in the weight's gradient in oneDNN's own order; 0 if none.
        beside: what the blocks around the layer hold meanwhile, for an example.
    """

    inputs: int
    outputs: int
    trained: int
    is_view: bool
    is_flatten: bool
    saved: int
    inner: int
    index_bytes: int
    taken: int
    beside: _Beside
    reordered: int = 0
    workspace: int = 0


# Networks are shared (`network_of`), and most jobs have one of a few.
@lru_cache(maxsize=64)
def measured(network: Network, frozen: frozenset[str]) -> tuple[LayerMemory, ...]:
    """Return the memory of each layer of *network*; the parameters *frozen* are not trained."""
    known = _Known({node.path: node for node in network.nodes}, frozen, network.memories)
    found = _in_order(network.layers, "", "", known, _Beside())
    for i, layer in enumerate(found):  # what the first layers take is the batch, counted elsewhere
        found[i] = layer._replace(taken=0)
        if not layer.is_view:
            break
    return tuple(found)


class _Known(NamedTuple):
    """
    What is known of a network.

    Attributes:
        nodes: its nodes by their paths.
        frozen: the names of its frozen parameters.
        memories: path of a layer -> paths of the layers that attend to its output.
    """

    nodes: Mapping[str, Node]
    frozen: frozenset[str]
    memories: Mapping[str, Sequence[str]]


def _in_order(
    layers: Sequence[AnyLayer],
    prefix: str,
    path: str,
    known: _Known,
    beside: _Beside,
    *,
    counted: bool = False,
) -> list[LayerMemory]:
    """
    Return *layers* in the order in which they are computed.

    Args:
        layers: layers one after another.
        prefix: the beginning of the paths of the layers' nodes.
        path: the beginning of the layers' own paths. The copies of a repeated layer have one node,
            and a path each.
        known: facts about the network.
        beside: what the blocks around *layers* hold.
        counted: whether *beside* includes the input of *layers*.
    """
    found: list[LayerMemory] = []
    ends: dict[str, int] = {}
    before: AnyLayer | None = None
    for name, layer in pooled_first(named(layers)):
        node = known.nodes[f"{prefix}{name}"]
        if isinstance(layer, BlockSpec):
            around = counted and not found
            found += _in_block(node, layer, f"{path}{name}", known, beside, counted=around)
        else:
            inplace = isinstance(layer, Relu) and isinstance(before, OWN_OUTPUT)
            # A relu may come after the pool that follows it in the spec.
            inputs = found[-1].outputs if found and isinstance(layer, Relu) else node.given.size
            if isinstance(layer, Relu) and isinstance(before, BlockSpec):
                found[-1] = found[-1]._replace(saved=0)  # its backward pass reads its own output
            taken = 0 if isinstance(layer, Relu) and isinstance(before, Residual) else inputs
            trained = sum(
                each.size
                for each in node.parameters
                if each.name not in layer.share and f"{path}{name}.{each.name}" not in known.frozen
            )
            if found and isinstance(before, NOT_READ) and not _reads_input(layer, trained):
                found[-1] = found[-1]._replace(saved=0)
            found.append(_measured_layer(node, inputs, taken, beside, trained, inplace=inplace))
        before = layer if node.path not in known.memories else None
        ends[name] = len(found)
    for name, end in ends.items():
        readers = known.memories.get(f"{prefix}{name}", ())
        last = max((ends[_name_in(prefix, each)] for each in readers), default=0)
        size = known.nodes[f"{prefix}{name}"].output.size
        for i in range(end, last):
            # The layer behind a memory may take it as its input.
            more = 0 if i == end and found[i].taken else size
            found[i] = found[i]._replace(beside=found[i].beside.with_more(more, size))
    return found


def _name_in(prefix: str, path: str) -> str:
    """Return the name of the layer at *path*, or of the block that holds it, below *prefix*."""
    return path.removeprefix(prefix).partition(".")[0]


def _measured_layer(
    node: Node, inputs: int, taken: int, beside: _Beside, trained: int, *, inplace: bool
) -> LayerMemory:
    layer = node.layer
    is_flatten = isinstance(layer, Flatten) or _is_nothing(layer)
    is_view = inplace or is_flatten
    return LayerMemory(
        inputs=inputs,
        outputs=inputs if isinstance(layer, Relu) else node.output.size,
        trained=trained,
        is_view=is_view,
        is_flatten=is_flatten,
        # A dropout keeps the mask that it multiplied by.
        saved=0 if is_view else 2 if isinstance(layer, Dropout) else 1,
        inner=layer.saved(node.given),
        index_bytes=INDEX_BYTES if isinstance(layer, MaxPool2d) else 0,
        taken=taken,
        beside=beside,
        workspace=layer.workspace(node.given),
        reordered=_reordered(layer, node.given) if trained and isinstance(layer, Conv2d) else 0,
    )


def _reads_input(layer: AnyLayer, trained: int) -> bool:
    """Return whether the backward pass of *layer*, with *trained* parameters, reads the input."""
    if isinstance(layer, GlobalPool):
        return layer.mode == "max"
    # A convolution keeps its input even if its weight is frozen.
    return not isinstance(layer, Linear | SelfAttention) or trained > 0


def _is_nothing(layer: AnyLayer) -> bool:
    """Return whether *layer* returns its input itself."""
    return isinstance(layer, Identity) or (isinstance(layer, Dropout) and layer.p == 0)


def _reordered(layer: Conv2d, given: TensorSpec) -> int:
    """Return the size of the weight's gradient in oneDNN's own order; 0 if it has no such order."""
    into, out = given.shape[0] // layer.groups, layer.out_channels // layer.groups
    kernel = prod(each(layer.kernel_size, layer.DIMS))
    if into == out == 1 and kernel <= DEPTHWISE and min(given.shape[1:]) >= kernel**0.5:
        return 0
    # In blocks of channels, of which the last may be filled up.
    return layer.groups * prod(-(-number // BLOCK) * BLOCK for number in (into, out)) * kernel


def _in_block(
    node: Node, block: BlockSpec, path: str, known: _Known, beside: _Beside, *, counted: bool
) -> list[LayerMemory]:
    """Return the layers in a block, once for each copy, and the join if parts are joined."""
    first = f"{node.path}.0." if block.NUMBERED else f"{node.path}."
    parts = block.parts
    if len(parts) == 1:
        # Copies are equal unless some of them are frozen.
        several, times = (block.copies, 1) if known.frozen else (1, block.copies)
        copies: list[LayerMemory] = []
        for i in range(several):
            own = f"{path}.{i}." if block.NUMBERED else f"{path}."
            inside = _in_order(parts[0].layers, first, own, known, beside, counted=counted)
            copies += inside
        return copies * times
    found: list[LayerMemory] = []
    given, computed = node.given.size, 0
    join = block.join if isinstance(block, Parallel) else "add"
    adds, multiplies = join == "add", join == "multiply"
    overwrites = isinstance(block, Residual) and sums_in_place(block)
    for i, part in enumerate(parts):
        # The input lives as long as later parts take it, or as it is itself what a part returns.
        lives = i + 1 < len(parts) or not all(each.layers for each in parts)
        around = _Beside(
            beside.forward + computed + given * lives,
            # Backwards, later parts come first, and leave a gradient of the input; earlier ones
            # still need that of the output.
            beside.backward + (given if i + 1 < len(parts) else node.output.size),
        )
        inside = _in_order(
            part.layers,
            f"{first}{part.name}.",
            f"{path}.{part.name}.",
            known,
            around,
            counted=lives,
        )
        if inside:
            inside[0] = inside[0]._replace(taken=0 if lives else given)
            n = next((n for n, it in enumerate(reversed(part.layers)) if not _is_nothing(it)), 0)
            if not multiplies and isinstance(part.layers[-1 - n], OWN_OUTPUT):
                # The backward pass of a sum or a concatenation reads no input.
                inside[-1 - n] = inside[-1 - n]._replace(saved=0)
            computed += inside[-1].outputs
        found += inside
    outputs = node.output.size
    joined = LayerMemory(
        inputs=outputs,
        outputs=outputs,
        trained=0,
        is_view=False,
        is_flatten=adds,
        saved=1,
        inner=0,
        index_bytes=0,
        taken=computed - overwrites * outputs + given * (not all(each.layers for each in parts)),
        beside=beside,
    )
    return [*found, joined]
