"""Which layers a decoder can attend to, and that the output of every layer is used."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec

Json = dict[str, Any]
ROWS: list[Json] = [
    {"kind": "flatten"},
    {"kind": "linear", "out_features": 24},
    {"kind": "reshape", "shape": [4, 6], "name": "rows"},
]
END: list[Json] = [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}]
QUERIES: Json = {"kind": "queries", "num_queries": 3, "features": 6}
TANH: Json = {"kind": "tanh"}
RULE = "memory must be the path of an earlier layer in the same list, or in one around it, got "
THERE = " (there: 0, 1, rows)"


def decoder(memory: str, **fields: Any) -> Json:
    own = {"kind": "transformer_decoder_layer", "name": "own", "nhead": 2, "memory": memory}
    return {**own, **fields}


def block(name: str, *layers: Json) -> Json:
    return {"kind": "sequential", "name": name, "layers": list(layers)}


def repeated(name: str, *layers: Json) -> Json:
    return {"kind": "repeat", "name": name, "times": 2, "layers": list(layers)}


def parsed(*layers: Json) -> RunSpec:
    return RunSpec.parse(
        {
            "model": {"kind": "sequential", "layers": [*ROWS, *layers, *END]},
            "dataset": {"kind": "digits"},
            "optimizer": {"kind": "adam", "lr": 0.1},
            "training": {"epochs": 1},
        }
    )


def error_of(*layers: Json) -> str:
    with pytest.raises(SpecError) as caught:
        parsed(*layers)
    return str(caught.value)


BRANCHES: Json = {
    "kind": "parallel",
    "name": "both",
    "branches": [[{**TANH, "name": "first"}], [decoder("both.0.first")]],
}
NO_MEMORY: dict[str, tuple[list[Json], str, str]] = {
    "misspelt": ([decoder("row")], "own", f"{RULE}'row'; did you mean 'rows'?"),
    "itself": ([decoder("own")], "own", f"{RULE}'own'{THERE}"),
    "later": ([decoder("tanh"), {**TANH, "name": "tanh"}], "own", f"{RULE}'tanh'{THERE}"),
    "its block": ([block("b", decoder("b"))], "b.own", f"{RULE}'b'{THERE}"),
    "in a block": (
        [block("b", block("c", {**TANH, "name": "d"})), decoder("b.c.d")],
        "own",
        f"{RULE}'b.c.d', which is in a block; use 'b', what it returns",
    ),
    "in a copy": (
        [repeated("r", {**TANH, "name": "t"}), decoder("r.1.t")],
        "own",
        f"{RULE}'r.1.t', which is in a block; use 'r', what it returns",
    ),
    "in another copy": (
        [repeated("r", {**TANH, "name": "t"}, decoder("r.1.t"))],
        "r.0.own",
        f"{RULE}'r.1.t'; did you mean 'r.0.t'?",
    ),
    "a name without its path": (
        [block("b", {**TANH, "name": "t"}, decoder("t"))],
        "b.own",
        f"{RULE}'t'; did you mean 'b.t'?",
    ),
    "in another branch": ([BRANCHES], "both.1.own", f"{RULE}'both.0.first'{THERE}"),
}


@pytest.mark.parametrize("case", NO_MEMORY)
def test_a_memory_is_an_earlier_layer_in_the_same_list_or_around(case: str) -> None:
    layers, path, text = NO_MEMORY[case]

    assert error_of(*layers) == f"model: layer {path}: {text}"


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (
            [decoder("1")],
            "memory must be (length, features), got (features 24) from 1; layers behind it may "
            "make a sequence of it, of which the last is then the memory",
        ),
        (
            [
                {"kind": "linear", "out_features": 8},
                decoder("rows"),
            ],
            "memory must have the 8 features of the input, got (length 4, features 6) from rows; a "
            "linear layer of 8 features behind it may be the memory",
        ),
        (
            [decoder("rows", nhead=4)],
            "nhead must divide the number of features, 6, as 3 does, got 4",
        ),
        (
            [{"kind": "flatten"}, decoder("rows")],
            "transformer_decoder_layer needs (length, features), got (features 24); insert a "
            "reshape layer before it",
        ),
    ],
    ids=["a vector", "other features", "heads", "its input"],
)
def test_what_does_not_fit_the_memory_is_refused(layers: list[Json], text: str) -> None:
    assert error_of(*layers) == (
        "model: model must accept examples of digits, which are (channels 1, height 8, width 8): "
        f"layer own: {text}"
    )


def test_a_memory_is_required() -> None:
    layer = {"kind": "transformer_decoder_layer", "nhead": 2}

    assert error_of(layer) == "model.layers[3].memory: memory is required"


def test_tokens_are_no_memory() -> None:
    layers = [
        {"kind": "identity", "name": "tokens"},
        {"kind": "embedding", "num_embeddings": 256, "embedding_dim": 6},
        decoder("tokens"),
        {"kind": "linear", "out_features": 256},
    ]
    text = {"kind": "text", "file": "a.txt", "length": 4}

    with pytest.raises(SpecError, match="layer tokens: identity needs real numbers, got tokens"):
        RunSpec.parse(
            {
                "model": {"kind": "sequential", "layers": layers},
                "dataset": text,
                "optimizer": {"kind": "adam", "lr": 0.1},
                "training": {"epochs": 1},
            }
        )


UNUSED: dict[str, tuple[list[Json], str]] = {
    "forgotten": (
        [QUERIES],
        "layer rows: what reshape returns must be used: the queries behind it do not take it; "
        "name 'rows' as the memory of a later layer",
    ),
    "another one": (
        [{**TANH, "name": "last"}, QUERIES, decoder("rows")],
        "layer last: what tanh returns must be used: the queries behind it do not take it; "
        "name 'last' as the memory of a later layer",
    ),
    "a block": (
        [block("b", QUERIES)],
        "layer rows: what reshape returns must be used: the queries behind it do not take it; "
        "name 'rows' as the memory of a later layer",
    ),
    "copies": (
        [repeated("r", {**QUERIES, "num_queries": 4}, decoder("rows"))],
        "layer r: repeat must use what it takes, else only the last of its 2 copies counts; "
        "queries belong before it",
    ),
}


@pytest.mark.parametrize("case", UNUSED)
def test_what_nothing_uses_is_refused(case: str) -> None:
    layers, text = UNUSED[case]

    assert error_of(*layers) == f"model: {text}"


def test_a_network_uses_what_it_gets() -> None:
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(
            {
                "model": {"kind": "sequential", "layers": [QUERIES, *END]},
                "dataset": {"kind": "digits"},
                "optimizer": {"kind": "adam", "lr": 0.1},
                "training": {"epochs": 1},
            }
        )

    assert str(caught.value) == (
        "model: queries must not replace all that the network gets: name a layer before them as "
        "the memory of a later one"
    )


@pytest.mark.parametrize(
    "layers",
    [
        [QUERIES, decoder("rows")],
        [QUERIES, block("b", TANH, decoder("rows"))],
        [QUERIES, repeated("r", decoder("rows"))],
        [{"kind": "parallel", "branches": [[TANH], [QUERIES, decoder("rows")]], "join": "add"}],
        [repeated("r", {**TANH, "name": "t"}, {**QUERIES, "num_queries": 4}, decoder("r.0.t"))],
        [QUERIES, decoder("rows", name="a"), {**QUERIES, "num_queries": 2}, decoder("a")],
    ],
    ids=range(6),
)
def test_what_a_later_layer_attends_to_is_used(layers: list[Json]) -> None:
    if layers[0]["kind"] == "parallel":
        layers[0]["branches"][1][0] = {**QUERIES, "num_queries": 4}

    assert parsed(*layers).network.num_parameters > 0
