"""Language models in which a position sees later positions, whose tokens are its targets."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from optcore.spec.errors import SpecError
from optcore.spec.layers.base import SEQUENCE, TOKENS, InstalledLayer, TensorSpec
from optcore.spec.layers.reach import MAX_DENOMINATOR
from optcore.spec.networks.causal import doubts, traced
from optcore.spec.run import RunSpec
from tests.support.optcore.layers.networks import network_of
from tests.support.optcore.layers.seen import WORDS, last_seen

Json = dict[str, Any]
WIDTH, LENGTH = 4, 6

NUMBERS = TensorSpec((LENGTH,), TOKENS, integers=True)
EMBEDDING: Json = {"kind": "embedding", "num_embeddings": 256, "embedding_dim": WIDTH}
TOKEN: Json = {"kind": "class_token"}
AS_SIGNAL: Json = {"kind": "permute", "axes": "signal"}
AS_SEQUENCE: Json = {"kind": "permute", "axes": "sequence"}
SAME: Json = {"kind": "conv1d", "out_channels": WIDTH, "kernel_size": 3}
POOL: Json = {"kind": "max_pool1d", "kernel_size": 2}
DOUBLED: Json = {"kind": "upsample", "scale_factor": 2}
ATTENTION: Json = {"kind": "multihead_attention", "num_heads": 2, "name": "attention"}
SQUARED: Json = {"kind": "reshape", "shape": [LENGTH, WIDTH]}
BOTH: Json = {"kind": "gru", "hidden_size": 2, "bidirectional": True}
ONWARD: Json = {"kind": "gru", "hidden_size": WIDTH}
DECODER: Json = {
    **{"kind": "transformer_decoder_layer", "name": "it", "nhead": 2, "dim_feedforward": 8},
    **{"dropout": 0.0, "causal": True},
}
QUERIES: Json = {"kind": "queries", "num_queries": LENGTH, "features": WIDTH}
FIRST: list[Json] = [
    {"kind": "select", "index": 0},
    {"kind": "reshape", "shape": [1, WIDTH], "name": "first"},
]
CAUSAL = 'with "causal": true it sees only earlier positions'
SEQUENCES = (
    "layers of a sequence (length, features) that see only earlier positions are lstm, gru, and "
    'self_attention with "causal": true'
)


def shifted(layers: str) -> str:
    return (
        f"with padding 0, stride 1 and {layers} before it, which shift the sequence, it sees only "
        "earlier positions"
    )


REFUSED: dict[str, tuple[list[Json], str, str]] = {
    "gru": ([BOTH], "layer 1: gru", 'with "bidirectional": false it sees only earlier positions'),
    "attention": ([{"kind": "self_attention", "num_heads": 2}], "layer 1: self_attention", CAUSAL),
    "encoder": (
        [{"kind": "transformer_encoder_layer", "name": "it", "nhead": 2}],
        "layer it: transformer_encoder_layer",
        CAUSAL,
    ),
    **{
        f"decoder {case}": (
            layers,
            f"layer {path}: transformer_decoder_layer",
            'with "causal": true it sees only earlier positions of its input, but always all of '
            f"its memory, {memory}, which must depend on no token after the first",
        )
        for case, path, memory, layers in (
            ("of itself", "it", "1", [ONWARD, {**DECODER, "memory": "1"}]),
            (
                "of queries",
                "it",
                "1",
                [{"kind": "self_attention", "num_heads": 2}, QUERIES, {**DECODER, "memory": "1"}],
            ),
            ("not causal", "it", "0", [QUERIES, {**DECODER, "memory": "0", "causal": False}]),
            (
                "in a repeat",
                "r.0.it",
                "0",
                [
                    {
                        **{"kind": "repeat", "name": "r", "times": 3},
                        "layers": [ONWARD, {**DECODER, "memory": "0"}],
                    }
                ],
            ),
            (
                "in a repeat, of itself",
                "r.0.it",
                "r.0.0",
                [
                    {
                        **{"kind": "repeat", "name": "r", "times": 3},
                        "layers": [ONWARD, {**DECODER, "memory": "r.0.0"}],
                    }
                ],
            ),
        )
    },
    "in blocks": (
        [
            {
                **{"kind": "repeat", "name": "r", "times": 2},
                "layers": [{"kind": "residual", "layers": [{"kind": "layer_norm"}, ATTENTION]}],
            }
        ],
        "layer r.0.0.layers.attention: multihead_attention",
        'self_attention with "causal": true sees only earlier positions',
    ),
    "in a branch": (
        [
            {
                "kind": "parallel",
                "branches": [
                    [],
                    [
                        {"kind": "global_pool"},
                        {"kind": "linear", "out_features": LENGTH * WIDTH},
                        SQUARED,
                    ],
                ],
            }
        ],
        "layer 1.1.0: global_pool",
        SEQUENCES,
    ),
    "convolution": (
        [AS_SIGNAL, {**SAME, "padding": 1}, AS_SEQUENCE],
        "layer 2: conv1d",
        shifted("2 class_token layers"),
    ),
    "shifted too little": (
        [TOKEN, AS_SIGNAL, SAME, {**SAME, "kernel_size": 2, "padding": 1}, AS_SEQUENCE],
        "layer 3: conv1d",
        shifted("2 class_token layers"),
    ),
    "pool": (
        [AS_SIGNAL, POOL, DOUBLED, AS_SEQUENCE],
        "layer 2: max_pool1d",
        shifted("a class_token layer"),
    ),
    "norm": (
        [AS_SIGNAL, {"kind": "layer_norm"}, AS_SEQUENCE],
        "layer 2: layer_norm",
        "layer_norm and rms_norm of a sequence (length, features) see only their position",
    ),
    "vector": (
        [{"kind": "flatten"}, {"kind": "linear", "out_features": LENGTH * WIDTH}, SQUARED],
        "layer 1: flatten",
        SEQUENCES,
    ),
}
ACCEPTED: dict[str, list[Json]] = {
    "decoder of the first position": [
        {
            "kind": "parallel",
            "branches": [
                [ONWARD],
                [*FIRST, QUERIES, {**DECODER, "memory": "1.1.first"}],
            ],
        },
    ],
    "nothing": [],
    "gru": [ONWARD],
    "attention": [{"kind": "self_attention", "num_heads": 2, "causal": True}],
    "shifted convolution": [TOKEN, TOKEN, AS_SIGNAL, SAME, AS_SEQUENCE],
    "dilated": [*([TOKEN] * 4), AS_SIGNAL, {**SAME, "dilation": 2}, AS_SEQUENCE],
    "repeated convolutions": [
        {
            **{"kind": "repeat", "times": 3},
            "layers": [TOKEN, AS_SIGNAL, {**SAME, "kernel_size": 2}, AS_SEQUENCE],
        }
    ],
    "residual": [
        {"kind": "residual", "layers": [TOKEN, TOKEN, AS_SIGNAL, SAME, AS_SEQUENCE, ONWARD]}
    ],
    "wider and narrower": [AS_SIGNAL, DOUBLED, POOL, AS_SEQUENCE],
    "every second": [AS_SIGNAL, {**SAME, "kernel_size": 1, "stride": 2}, DOUBLED, AS_SEQUENCE],
}
DOUBTED: dict[str, list[Json]] = {
    "there and back": [{"kind": "flatten"}, {"kind": "relu"}, SQUARED],
    "divided": [{"kind": "reshape", "shape": [3, 2 * WIDTH]}, SQUARED],
}


def job(layers: list[Json], **dataset: Any) -> Json:
    text = {"kind": "text", "file": "a.txt", "length": LENGTH, **dataset}
    last = {"kind": "linear", "out_features": 256}
    return {
        "model": {"kind": "sequential", "layers": [EMBEDDING, *layers, last]},
        "dataset": text,
        "optimizer": {"kind": "adam", "lr": 0.1},
        "training": {"epochs": 1},
    }


@pytest.mark.parametrize("case", REFUSED)
def test_a_language_model_that_sees_its_targets_is_refused(case: str) -> None:
    layers, layer, way = REFUSED[case]

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(job(layers))

    assert str(caught.value) == (
        f"model: {layer} must not let a position see later positions, whose tokens are the targets "
        f"of task language_model; {way}"
    )
    network = network_of([{**EMBEDDING, "num_embeddings": WORDS}, *layers], NUMBERS)
    assert any(last > t for t, last in enumerate(last_seen(network)))


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_language_model_that_does_not_see_them_is_accepted(case: str) -> None:
    run = RunSpec.parse(job(ACCEPTED[case]))

    assert not list(doubts(run))
    network = network_of([{**EMBEDDING, "num_embeddings": WORDS}, *ACCEPTED[case]], NUMBERS)
    assert all(last <= t for t, last in enumerate(last_seen(network)))


@pytest.mark.parametrize("case", DOUBTED)
def test_what_is_not_known_is_a_warning(case: str) -> None:
    (text,) = doubts(RunSpec.parse(job(DOUBTED[case])))

    kind = DOUBTED[case][0]["kind"]
    assert text == (
        f"layer 1: {kind} may let a position see later positions, whose tokens are the targets of "
        f"task language_model; it is not known which positions its output depends on. "
        f"{SEQUENCES.capitalize()}"
    )


def test_statistics_over_positions_are_a_warning() -> None:
    (text,) = doubts(RunSpec.parse(job([AS_SIGNAL, {"kind": "batch_norm"}, AS_SEQUENCE])))

    assert text == (
        "layer 2: batch_norm lets a position see later positions in training, by the mean and "
        "variance over all positions; in evaluation it does not"
    )


def test_a_single_position_has_no_later_one() -> None:
    RunSpec.parse(job([BOTH], length=1))


def test_other_tasks_may_see_everything() -> None:
    layers: list[Json] = [
        {"kind": "flatten"},
        {"kind": "reshape", "shape": [28, 28]},
        BOTH,
        {"kind": "global_pool"},
        {"kind": "linear", "out_features": 10},
    ]
    model = {"kind": "sequential", "layers": layers}
    run = RunSpec.parse({**job([]), "model": model, "dataset": {"kind": "mnist"}})

    assert not list(doubts(run))


def test_bounds_of_many_sizes_stay_bounds() -> None:
    sizes = [7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, LENGTH]
    layers: list[Json] = [
        AS_SIGNAL,
        *({"kind": "adaptive_avg_pool1d", "output_size": size} for size in sizes),
        AS_SEQUENCE,
    ]
    reach, _ = traced(network_of([EMBEDDING, *layers], NUMBERS))

    assert not reach.certain
    assert reach.exceeds(LENGTH)


def test_a_repeated_layer_is_traced_once_and_numbers_stay_small() -> None:
    sizes = [LENGTH + 1 + i for i in range(900)]
    pools: list[Json] = [{"kind": "adaptive_avg_pool1d", "output_size": n % 64 + 1} for n in sizes]
    last: Json = {"kind": "adaptive_avg_pool1d", "output_size": LENGTH}
    many: Json = {
        "kind": "repeat",
        "times": 100,
        "layers": [TOKEN, AS_SIGNAL, *pools[:10], last, AS_SEQUENCE],
    }
    network = network_of([EMBEDDING, AS_SIGNAL, *pools, last, AS_SEQUENCE, many], NUMBERS)
    assert network.output.positions == LENGTH

    _, seen = traced(network)

    assert len(seen) == len(network.leaves) == 1 + 1 + len(pools) + 2 + len(many["layers"])
    numbers = (each for _, reach in seen for each in (reach.slope, reach.start))
    assert all(each.denominator <= MAX_DENOMINATOR for each in numbers)


def test_a_layer_of_a_package_may_see_all_positions_unless_it_says_which() -> None:
    class Own(InstalledLayer):
        kind: Literal["own"] = "own"

    reach = Own().reach(TensorSpec((LENGTH, WIDTH), SEQUENCE))

    assert reach.exceeds(LENGTH)
    assert not reach.certain
