"""Networks from layers as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from optcore.spec.layers.base import Shape, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.networks.network import Network

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)


def layers_of(specs: Sequence[dict[str, Any]]) -> list[AnyLayer]:
    return [PARSER.validate_python(spec) for spec in specs]


def network_of(specs: Sequence[dict[str, Any]], given: Shape | TensorSpec) -> Network:
    spec = given if isinstance(given, TensorSpec) else TensorSpec.of(given)
    return Network(tuple(layers_of(specs)), spec)
