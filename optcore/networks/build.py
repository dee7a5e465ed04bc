"""Build the torch module of a network."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence, Set
from typing import assert_never

import torch
from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.networks.init import initialise
from optcore.networks.layers.blocks import ParallelModule, ResidualModule
from optcore.networks.layers.catalogue import Block, module
from optcore.networks.layout import memory_format
from optcore.networks.memory import Memories
from optcore.spec.layers.blocks import BlockSpec, Parallel, Repeat, Residual, SequentialBlock, named
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.layers.init import AnyInit
from optcore.spec.layers.memory import MemoryLayer
from optcore.spec.networks.network import Network
from optcore.spec.networks.order import OWN_OUTPUT, pooled_first
from optcore.spec.networks.tree import Node


def network(
    spec: Network,
    draws: Draws,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> nn.Sequential:
    """
    Return the module of *spec* (see `build`) on *device*, with parameters in *dtype*.

    Images have the memory format that `memory_format` returns for *device* and *dtype*.
    """
    # Drawn on the CPU in float32, then moved: a seed gives the same weights on every device and in
    # every memory format, and in every precision except for rounding.
    model = build(spec, draws).to(device, dtype)
    model.to(memory_format=memory_format(device, dtype))  # type: ignore[call-overload]  # torch's stub lacks it
    return model


def check_fit(weights: Mapping[str, Tensor | None], own: Mapping[str, Tensor]) -> None:
    """
    Check that *weights* have the names and shapes of *own*, the weights of a network.

    None in *weights* stands for a weight of any shape.

    Raises:
        ValueError: the names or the shapes of *weights* differ from those of *own*.
    """
    for name in sorted(weights.keys() | own.keys()):
        if name not in own:
            raise ValueError(
                f"weights must be those of the network, got {name}, which the network lacks"
            )
        if name not in weights:
            raise ValueError(f"weights must be those of the network, got none for {name}")
        weight, wanted = weights[name], tuple(own[name].shape)
        if weight is not None and (given := tuple(weight.shape)) != wanted:
            raise ValueError(f"{name} must have shape {wanted}, got {given}")


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of *model* by name; a shared one by its first name only."""
    shared = _shared_in(model)
    return {name: each for name, each in model.state_dict().items() if name not in shared}


def set_tensors(model: nn.Module, tensors: Mapping[str, Tensor | None]) -> None:
    """
    Set the parameters and buffers of *model* to *tensors*, named as in `tensors_of`.

    A parameter or buffer for which *tensors* has None stays as it is.
    """
    own = tensors_of(model)
    found = {name: own[name] if each is None else each for name, each in tensors.items()}
    # `load_state_dict` is strict, and knows a shared parameter by each of its names.
    others = {name: found[first] for name, first in _shared_in(model).items()}
    model.load_state_dict({**found, **others})


def _shared_in(model: nn.Module) -> dict[str, str]:
    """Return other name -> first name, for each parameter that has more than one name."""
    first: dict[Tensor, str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name: first[p] for name, p in named if first.setdefault(p, name) != name}


def build(network: Network, draws: Draws | None = None) -> nn.Sequential:
    """
    Return the torch module of *network*, with torch's initial weights or those of `init`.

    The weights are drawn from torch's global generator, which the caller must seed. The name of a
    parameter is the path of its layer and its name in the layer: ``conv1.weight``.

    A max-pool that follows a relu is moved before the relu, which then computes fewer elements (a
    quarter with 2 x 2 windows). Outputs and gradients stay the same bit for bit.

    Args:
        network: the network.
        draws: the source of random numbers for the layers; None for torch's global generators.
    """
    nodes = {node.path: node for node in network.nodes}
    builder = _Builder(nodes, draws, network.initial, network.memories.keys())
    model = builder.sequence(network.layers, "", "", Memories())
    for path, own, source in builder.shared:
        holder, _, name = f"{path}.{own}".rpartition(".")
        setattr(model.get_submodule(holder), name, model.get_parameter(source))
    return model


class _Builder:
    """
    Builds modules.

    Args:
        nodes: path -> node. The copies of a repeated layer have one node, under the path of the
            first copy.
        draws: the source of random numbers for the layers in training.
        initial: initialisations of the parameters of layers, with the same paths as *nodes*.
        memories: paths of the layers whose output later ones attend to.

    Attributes:
        shared: for each parameter that a layer takes from an earlier layer: the path of the later
            layer, the parameter's name there, and the parameter's full name in the earlier layer.
    """

    def __init__(
        self,
        nodes: Mapping[str, Node],
        draws: Draws | None,
        initial: Mapping[str, Sequence[tuple[str, AnyInit]]],
        memories: Set[str],
    ) -> None:
        self._nodes, self._draws, self._initial = nodes, draws, initial
        self._memories = memories
        self.shared: list[tuple[str, str, str]] = []

    def sequence(
        self, layers: Sequence[AnyLayer], path: str, known: str, around: Memories
    ) -> nn.Sequential:
        """
        Return the module of *layers*.

        Args:
            layers: the layers.
            path: the beginning of the layers' paths.
            known: the beginning of the paths of the layers' nodes. It differs from *path* in all
                copies of repeated layers but the first.
            around: the memories of the lists around *layers*.
        """
        memories = around.inside()
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        before: AnyLayer | None = None
        for name, layer in pooled_first(named(layers)):
            if isinstance(layer, BlockSpec):
                modules[name] = self._block(layer, f"{path}{name}", f"{known}{name}", memories)
            else:
                modules[name] = module(
                    layer,
                    self._nodes[f"{known}{name}"].given,
                    inplace=isinstance(before, OWN_OUTPUT),
                    draws=self._draws,
                    path=f"{path}{name}",
                    memory=memories.read(layer.memory) if isinstance(layer, MemoryLayer) else None,
                )
                initialise(modules[name], self._initial.get(f"{known}{name}", ()))
                self.shared += [(f"{path}{name}", *each) for each in layer.share.items()]
            before = layer
            if f"{known}{name}" in self._memories:
                memories.keep(f"{known}{name}", modules[name])
                before = None  # a relu must not overwrite what is still read
        return nn.Sequential(modules)

    def _block(self, layer: Block, path: str, known: str, around: Memories) -> nn.Module:
        def part(layers: Sequence[AnyLayer], name: str) -> nn.Sequential:
            return self.sequence(layers, f"{path}.{name}", f"{known}.{name}", around)

        match layer:
            case SequentialBlock():
                return part(layer.layers, "")
            case Repeat():
                return nn.Sequential(
                    *(
                        self.sequence(layer.layers, f"{path}.{i}.", f"{known}.0.", around)
                        for i in range(layer.times)
                    )
                )
            case Residual():
                return ResidualModule(
                    part(layer.layers, "layers."), part(layer.shortcut, "shortcut.")
                )
            case Parallel():
                branches = [part(each, f"{i}.") for i, each in enumerate(layer.branches)]
                along = 1 + layer.along(self._nodes[known].output.axes)
                return ParallelModule(branches, layer.join, along)
            case _:
                assert_never(layer)
