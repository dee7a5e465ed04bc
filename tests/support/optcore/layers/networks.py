"""Networks from layers as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from optcore.networks.build import build
from optcore.networks.draws import Draws
from optcore.spec.layers.base import Shape, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.networks.network import Network

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)


def layers_of(specs: Sequence[dict[str, Any]]) -> list[AnyLayer]:
    return [PARSER.validate_python(spec) for spec in specs]


def network_of(specs: Sequence[dict[str, Any]], given: Shape | TensorSpec) -> Network:
    spec = given if isinstance(given, TensorSpec) else TensorSpec.of(given)
    return Network(tuple(layers_of(specs)), spec)


def dropped(network: Network, inputs: Tensor) -> list[Tensor]:
    """Return the outputs in training of steps 0, 1 and 0 again, after other random numbers."""
    draws = Draws(1)
    module = build(network, draws).train()
    outputs: list[Tensor] = []
    for step in (0, 1, 0):
        draws.begin(step, 0)
        torch.manual_seed(step + len(outputs))
        outputs.append(module(inputs))
    return outputs
