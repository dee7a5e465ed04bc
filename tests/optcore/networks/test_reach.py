"""Which positions a layer says that it sees, beside those that its module depends on."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, TOKENS, VECTOR, TensorSpec
from optcore.spec.layers.blocks import BlockSpec
from optcore.spec.layers.catalogue import LAYERS
from optcore.spec.networks.causal import traced
from tests.support.optcore.layers.networks import network_of
from tests.support.optcore.layers.seen import WORDS, last_seen

Json = dict[str, Any]
WIDTH, LENGTH = 4, 6

STEPS = TensorSpec((LENGTH, WIDTH), SEQUENCE)
SAMPLES = TensorSpec((WIDTH, 9), SIGNAL)
ROW = TensorSpec((WIDTH, 1, 9), IMAGE)
PIXELS = TensorSpec((WIDTH, 4, 9), IMAGE)
FEATURES = TensorSpec((8,), VECTOR)
NUMBERS = TensorSpec((LENGTH,), TOKENS, integers=True)

CONV: Json = {"kind": "conv1d", "out_channels": 3, "kernel_size": 3}
FLAT: Json = {"kind": "conv2d", "out_channels": 3, "kernel_size": [1, 3]}
UP: Json = {"kind": "conv_transpose1d", "out_channels": 3, "kernel_size": 3}
ANYTHING = (STEPS, SAMPLES, PIXELS, FEATURES)
OPTIONS: list[Json] = [
    {"padding": 0},
    {"kernel_size": 1},
    {"padding": 1},
    {"padding": 2},
    {"padding": 3},
    {"kernel_size": 1, "stride": 2},
    {"stride": 2, "padding": 1},
    {"dilation": 2, "padding": 4},
    {"dilation": 2, "padding": 3},
    *(
        {"padding": padding, "padding_mode": mode}
        for padding in (2, 3)
        for mode in ("reflect", "replicate", "circular")
    ),
]
ALONE: list[tuple[Json, tuple[TensorSpec, ...]]] = [
    *(
        ({"kind": kind}, ANYTHING)
        for kind in (
            *("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "hardswish"),
            *("hardsigmoid", "dropout", "layer_norm", "rms_norm", "flatten", "relu6"),
            *("prelu", "mish", "softplus", "identity"),
        )
    ),
    *(({"kind": kind}, (STEPS, PIXELS, FEATURES)) for kind in ("softmax", "log_softmax")),
    ({"kind": "batch_norm"}, (SAMPLES, PIXELS, FEATURES)),
    ({"kind": "group_norm", "num_groups": 2}, (SAMPLES, PIXELS, FEATURES)),
    ({"kind": "instance_norm"}, (SAMPLES, PIXELS)),
    ({"kind": "squeeze_excite", "squeeze_channels": 2}, (PIXELS,)),
    ({"kind": "linear", "out_features": 3}, (STEPS, FEATURES)),
    ({"kind": "embedding", "num_embeddings": WORDS, "embedding_dim": 3}, (NUMBERS,)),
    ({"kind": "position_embedding"}, (STEPS,)),
    ({"kind": "class_token"}, (STEPS,)),
    *(({"kind": "select", "index": index}, (STEPS,)) for index in (0, 2, -1)),
    *(
        ({"kind": kind, "hidden_size": 3, "num_layers": 2, "bidirectional": both}, (STEPS,))
        for kind in ("gru", "lstm")
        for both in (False, True)
    ),
    ({"kind": "multihead_attention", "num_heads": 2}, (STEPS,)),
    *(
        ({"kind": kind, **heads, "causal": causal, "dropout": 0.0}, (STEPS,))
        for kind, heads in (
            ("self_attention", {"num_heads": 2}),
            ("transformer_encoder_layer", {"nhead": 2, "dim_feedforward": 8}),
        )
        for causal in (False, True)
    ),
    *(
        (
            {
                **{"kind": "transformer_decoder_layer", "nhead": 2, "dim_feedforward": 8},
                **{"memory": "own", "causal": causal, "dropout": 0.0},
            },
            (STEPS,),
        )
        for causal in (False, True)
    ),
    ({"kind": "queries", "num_queries": 3, "features": WIDTH}, ANYTHING),
    *(({**CONV, **options}, (SAMPLES,)) for options in OPTIONS),
    *(({**FLAT, "padding": [0, padding]}, (ROW, PIXELS)) for padding in (0, 2)),
    *(
        ({**UP, **options}, (SAMPLES,))
        for options in (
            {},
            {"padding": 1},
            {"stride": 2},
            {"stride": 2, "padding": 1},
            {"stride": 2, "padding": 2},
        )
    ),
    ({**UP, "kind": "conv_transpose2d", "padding": 1}, (PIXELS,)),
    *(
        ({"kind": f"{kind}_pool1d", "kernel_size": 3, **options}, (SAMPLES,))
        for kind in ("max", "avg")
        for options in ({}, {"stride": 1}, {"stride": 1, "padding": 1}, {"ceil_mode": True})
    ),
    ({"kind": "max_pool1d", "kernel_size": 2, "dilation": 3, "stride": 1}, (SAMPLES,)),
    (
        {"kind": "max_pool1d", "kernel_size": 3, "dilation": 2, "stride": 1, "padding": 1},
        (SAMPLES,),
    ),
    *(({"kind": f"{kind}_pool2d", "kernel_size": [2, 1]}, (PIXELS,)) for kind in ("max", "avg")),
    *(
        ({"kind": f"adaptive_{kind}_pool1d", "output_size": size}, (SAMPLES,))
        for kind in ("max", "avg")
        for size in (1, 4, 9, 18)
    ),
    *(
        ({"kind": f"adaptive_{kind}_pool2d", "output_size": [1, 9]}, (PIXELS,))
        for kind in ("max", "avg")
    ),
    *(
        ({"kind": "global_pool", "mode": mode}, (STEPS, SAMPLES, PIXELS))
        for mode in ("max", "mean")
    ),
    *(({"kind": "upsample", "scale_factor": by}, (SAMPLES, PIXELS)) for by in (1, 2, 3)),
    *(
        ({"kind": "upsample", "mode": "linear", "align_corners": corners}, (SAMPLES,))
        for corners in (False, True)
    ),
    *(
        ({"kind": "upsample", "mode": mode, "scale_factor": [1, 2]}, (PIXELS,))
        for mode in ("bilinear", "bicubic")
    ),
    ({"kind": "permute", "axes": "signal"}, (STEPS, ROW)),
    ({"kind": "permute", "axes": "image"}, (STEPS,)),
    ({"kind": "permute", "axes": "sequence"}, (SAMPLES, ROW)),
    ({"kind": "reshape", "shape": [LENGTH, WIDTH]}, (STEPS,)),
    ({"kind": "reshape", "shape": [3, 8]}, (STEPS,)),
    ({"kind": "reshape", "shape": [12, 2]}, (STEPS,)),
    ({"kind": "reshape", "shape": [2, 2, 9]}, (SAMPLES, ROW)),
    ({"kind": "reshape", "shape": [9, WIDTH]}, (SAMPLES,)),
    ({"kind": "reshape", "shape": [2, 4]}, (FEATURES,)),
    ({"kind": "point"}, (FEATURES,)),
    ({"kind": "patch_embedding", "patch_size": 1, "features": 3}, (ROW, PIXELS)),
    (
        {"kind": "patch_embedding", "patch_size": 2, "features": 3},
        (TensorSpec((2, 2, 8), IMAGE), TensorSpec((2, 4, 8), IMAGE)),
    ),
]
CASES = [(layer, given) for layer, inputs in ALONE for given in inputs]


def test_every_kind_of_layer_has_a_case() -> None:
    kinds = {kind for kind, layer in LAYERS.items() if not issubclass(layer, BlockSpec)}

    assert {layer["kind"] for layer, _ in CASES} == kinds


@pytest.mark.parametrize(("layer", "given"), CASES, ids=lambda part: str(part)[:60])
def test_a_layer_sees_what_it_says(layer: Json, given: TensorSpec) -> None:
    own: list[Json] = [{"kind": "identity", "name": "own"}] if "memory" in layer else []
    network = network_of([*own, layer], given)
    reach, _ = traced(network)

    found = last_seen(network)

    assert all(last <= reach.slope * t + reach.start for t, last in enumerate(found))
    if reach.certain and layer.get("mode") != "bicubic":  # its farthest pixel may have weight 0
        # Of the last output position, no later one is in a network that returns as many.
        ahead = any(last > t for t, last in enumerate(found[:-1]))
        assert reach.exceeds(len(found)) == ahead
