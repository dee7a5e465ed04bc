"""Layers for sequences refuse what does not fit, and say what would."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from optcore.spec.errors import SpecError
from optcore.spec.layers.base import SEQUENCE, TOKENS, ShapeError, TensorSpec
from optcore.spec.layers.catalogue import AnyLayer
from optcore.spec.models.sequential import Sequential
from optcore.spec.networks.network import Network

PARSER: TypeAdapter[AnyLayer] = TypeAdapter(AnyLayer)

WORDS = TensorSpec((4,), TOKENS, integers=True)
VECTORS = TensorSpec((4, 6), SEQUENCE)
ERRORS = [
    (
        {"kind": "embedding", "num_embeddings": 3, "embedding_dim": 2},
        VECTORS,
        r"layer own: embedding needs tokens \(length\), got \(length 4, features 6\); datasets of "
        "the task language_model have tokens, and a linear layer takes real numbers",
    ),
    (
        {"kind": "position_embedding"},
        WORDS,
        r"layer own: position_embedding needs real numbers, got tokens \(length 4\); begin with "
        "an embedding",
    ),
    (
        {"kind": "relu"},
        WORDS,
        r"relu needs real numbers, got tokens \(length 4\); begin with an embedding",
    ),
    (
        {"kind": "gru", "hidden_size": 3},
        TensorSpec.of((3,)),
        r"gru needs \(length, features\), got \(features 3\); permute makes a sequence of a signal",
    ),
    (
        {"kind": "self_attention", "num_heads": 4},
        VECTORS,
        "num_heads must divide the number of features, 6, as 3 does, got 4",
    ),
    (
        {"kind": "transformer_encoder_layer", "nhead": 5},
        VECTORS,
        "nhead must divide the number of features, 6, as 3 does, got 5",
    ),
    (
        {"kind": "self_attention", "num_heads": 2, "rotary": True},
        VECTORS,
        r"rotary needs heads with an even number of features, got 3 \(the 6 features divided by "
        r"num_heads 2\)",
    ),
]


@pytest.mark.parametrize(("spec", "given", "message"), ERRORS, ids=lambda value: str(value)[:40])
def test_what_does_not_fit_is_refused(
    spec: dict[str, Any], given: TensorSpec, message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        _ = Network((PARSER.validate_python({"name": "own", **spec}),), given).nodes


@pytest.mark.parametrize("name", ["causal", "dropout"])
def test_fields_of_other_attention_are_named_with_it(name: str) -> None:
    layer = {"kind": "multihead_attention", "num_heads": 2, name: True}

    with pytest.raises(SpecError) as caught:
        Sequential.parse({"kind": "sequential", "layers": [layer]})

    assert str(caught.value) == (
        f"layers[0].{name}: {name} must be left out of multihead_attention, where a position sees "
        "all positions; self_attention has causal, rotary and dropout, got true"
    )
