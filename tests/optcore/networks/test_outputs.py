"""What a network returns must be what its loss takes: sizes, what they mean, and logits or not."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from optcore.spec.networks.fit import network_warnings
from optcore.spec.run import RunSpec

Json = dict[str, Any]
LENGTH = 256
TEXT: Json = {"kind": "text", "file": "a.txt", "length": LENGTH}
DIGITS: Json = {"kind": "digits"}
EMBEDDING: Json = {"kind": "embedding", "num_embeddings": 256, "embedding_dim": 8}
FLATTEN: Json = {"kind": "flatten"}
LAST: Json = {"kind": "linear", "out_features": 10}
LOGARITHMS: Json = {"kind": "log_softmax"}


def parsed(layers: list[Json], dataset: Json, **loss: Any) -> RunSpec:
    return RunSpec.parse(
        {
            "model": {"kind": "sequential", "layers": layers},
            "dataset": dataset,
            "optimizer": {"kind": "adam", "lr": 0.1},
            "training": {"epochs": 1, **({"loss": loss} if loss else {})},
        }
    )


def error_of(layers: list[Json], dataset: Json, **loss: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parsed(layers, dataset, **loss)
    return str(caught.value)


@pytest.mark.parametrize(
    ("layers", "output"),
    [
        (
            [
                {"kind": "permute", "axes": "signal"},
                {"kind": "conv1d", "out_channels": 256, "kernel_size": 1},
            ],
            "(channels 256, length 256)",
        ),
        ([{"kind": "linear", "out_features": 100}], "(length 256, features 100)"),
        (
            [{"kind": "global_pool"}, {"kind": "linear", "out_features": 256}],
            "(features 256)",
        ),
    ],
    ids=["transposed", "another number of tokens", "one position"],
)
def test_a_language_model_returns_a_feature_per_token_at_each_position(
    layers: list[Json], output: str
) -> None:
    assert error_of([EMBEDDING, *layers], TEXT) == (
        "model: model must fit loss cross_entropy, which needs (length 256, features 256), one "
        f"feature per token at each position, got an output {output}; text has 256 tokens"
    )


def test_ctc_takes_no_sequence_whose_axes_are_exchanged() -> None:
    layers = [
        FLATTEN,
        {"kind": "linear", "out_features": 121},
        {"kind": "reshape", "shape": [11, 11]},
    ]
    signal = [*layers[:2], {**layers[2], "axes": "signal"}]

    parsed(layers, DIGITS, kind="ctc")
    assert error_of(signal, DIGITS, kind="ctc").endswith(
        "got an output (channels 11, length 11); digits has 10 classes"
    )


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        ({"kind": "residual", "layers": [LOGARITHMS]}, "residual"),
        ({"kind": "residual", "layers": [LAST], "shortcut": [LOGARITHMS]}, "residual"),
        ({"kind": "parallel", "branches": [[LAST], [LOGARITHMS]]}, "parallel"),
        ({"kind": "sequential", "layers": [LOGARITHMS, {"kind": "relu"}]}, "relu"),
    ],
    ids=["a sum", "a shortcut", "branches", "a layer behind it"],
)
def test_nll_takes_the_logarithms_themselves(last: Json, kind: str) -> None:
    assert error_of([FLATTEN, LAST, last], DIGITS, kind="nll") == (
        "training.loss.kind: loss nll needs a model whose last layer is log_softmax, got "
        f"{kind}; for a model without log_softmax, use cross_entropy"
    )


@pytest.mark.parametrize("block", [{"kind": "sequential"}, {"kind": "repeat", "times": 2}])
def test_nll_takes_the_logarithms_of_a_block_that_only_holds_them(block: Json) -> None:
    run = parsed([FLATTEN, LAST, {**block, "layers": [LOGARITHMS]}], DIGITS, kind="nll")

    assert not list(network_warnings(run))


@pytest.mark.parametrize(
    ("last", "loss", "text"),
    [
        (
            "softmax",
            "cross_entropy",
            "softmax, must probably be left out: loss cross_entropy takes logits, and computes "
            "log_softmax itself",
        ),
        (
            "sigmoid",
            "cross_entropy",
            "sigmoid, must probably be left out: loss cross_entropy takes logits, and computes "
            "log_softmax itself",
        ),
        (
            "log_softmax",
            "cross_entropy",
            "log_softmax, changes nothing: loss cross_entropy computes it",
        ),
        (
            "sigmoid",
            "bce",
            "sigmoid, must probably be left out: loss bce takes logits, and computes sigmoid "
            "itself",
        ),
        (
            "log_softmax",
            "bce",
            "log_softmax, must probably be left out: loss bce takes logits, and computes sigmoid "
            "itself",
        ),
    ],
)
def test_a_loss_of_logits_warns_of_probabilities(last: str, loss: str, text: str) -> None:
    run = parsed([FLATTEN, LAST, {"kind": last}], DIGITS, kind=loss)

    assert list(network_warnings(run)) == [f"model: the last layer, {text}"]


@pytest.mark.parametrize(
    ("last", "loss"), [("relu", "cross_entropy"), ("sigmoid", "mse"), ("softmax", "l1")]
)
def test_other_last_layers_are_not_warned_of(last: str, loss: str) -> None:
    assert not list(network_warnings(parsed([FLATTEN, LAST, {"kind": last}], DIGITS, kind=loss)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"share": {"weight": "c.weight"}},
            "layer b: weight must be a parameter of an earlier layer, got 'c.weight'",
        ),
        ({"init": {"wieght": "zeros"}}, "layer b: init "),
    ],
    ids=["share", "init"],
)
def test_a_mistake_of_share_or_init_is_no_matter_of_the_examples(
    fields: Json, message: str
) -> None:
    last = {**LAST, "name": "b", **fields}

    assert error_of([FLATTEN, last], DIGITS).startswith(f"model: {message}")
