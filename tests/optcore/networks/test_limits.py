"""Networks that would cost too much are refused before anything is built, and without torch."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from optcore.spec import errors
from optcore.spec.errors import SpecError
from optcore.spec.groups import matching
from optcore.spec.groups.globs import Globs, _Pattern
from optcore.spec.networks.tree import MAX_DEPTH, MAX_NODES
from optcore.spec.run import RunSpec
from tests.support.counting import calls_counted
from tests.support.optcore.runs.run_specs import run

Json = dict[str, Any]
AT_MOST_S = 2.0
"""Where a check would hang; it takes some milliseconds."""
FLAT: Json = {"kind": "flatten"}
FC: Json = {"kind": "linear", "out_features": 10}
TOGETHER = "layers must be at most 2000 together, repetitions not counted"


def nested(depth: int) -> list[Json]:
    layers = [FLAT, FC]
    for _ in range(depth):
        layers = [{"kind": "sequential", "layers": layers}]
    return layers


def repeated(times: int, layers: list[Json]) -> list[Json]:
    return [{"kind": "repeat", "times": times, "layers": layers}]


def tied(name: str, to: str) -> Json:
    return {**FC, "name": name, "share": {"weight": to}}


DEEP_LSTM: Json = {"num_layers": 8, "bidirectional": True}


def long_names(times: int) -> list[Json]:
    """Return repeated layers in 14 blocks, each with the longest name."""
    name = "a" * 64
    layers: list[Json] = [{"kind": "linear", "out_features": 64, "name": name}]
    layers = [{**each, "name": name} for each in repeated(times, layers)]
    for _ in range(13):
        layers = [{"kind": "sequential", "layers": layers, "name": name}]
    return layers


HOSTILE: dict[str, tuple[list[Json], str, str]] = {
    "10,000 layers": ([FLAT, *[FC] * 10_000], "model.layers", TOGETHER),
    "10,000 layers in lists": (
        [FLAT, *[{"kind": "sequential", "layers": [FC] * 1999}] * 5],
        "model.layers",
        TOGETHER,
    ),
    "2,001 wrong layers": (
        [{"kind": "linear", "out_features": 0}] * 2001,
        "model.layers",
        TOGETHER,
    ),
    "a depth of 2,000": (
        nested(2000),
        "model.layers",
        "layers must be in at most 15 blocks, one in another",
    ),
    "10**12 repetitions": (
        [FLAT, *repeated(10_000, repeated(10_000, repeated(10_000, [FC])))],
        "model.layers",
        "layers must be at most 20000, repetitions and blocks included, got 1000100010002",
    ),
    "10**300 repetitions": (
        repeated(10**300, repeated(10**300, [FLAT])),
        "model.layers",
        "layers must be at most 20000, repetitions and blocks included, got 400020001",
    ),
    "10**9 parameters": (
        [FLAT, *[{"kind": "linear", "out_features": 262_144}] * 2, FC],
        "model",
        "model must have from 1 to 500000000 parameters, got 68739399690",
    ),
    "a share of itself": (
        [FLAT, FC, tied("a", "a.weight")],
        "model",
        "layer a: weight must be a parameter of an earlier layer, got 'a.weight'; did you mean "
        "'1.weight'?",
    ),
    "shares of each other": (
        [FLAT, FC, tied("a", "b.weight"), tied("b", "a.weight")],
        "model",
        "layer a: weight must be a parameter of an earlier layer, got 'b.weight'; did you mean "
        "'1.weight'?",
    ),
    "64**12 pixels": (
        [*[{"kind": "upsample", "scale_factor": 64}] * 12, {"kind": "global_pool"}, FC],
        "model",
        "model must accept examples of digits, which are (channels 1, height 8, width 8): layer 1: "
        "upsample must return at most 100000000 values per example, got "
        "(channels 1, height 32768, width 32768)",
    ),
    "600,000 tensors in 20,000 layers": (
        [
            {"kind": "flatten"},
            {"kind": "reshape", "shape": [8, 8]},
            *repeated(9_990, [{"kind": "lstm", "hidden_size": 4, **DEEP_LSTM}]),
            {"kind": "flatten"},
            FC,
        ],
        "model",
        "model must have at most 20000 tensors of parameters, repetitions included, got 639362",
    ),
    "17 MB of names": (
        [FLAT, *long_names(9_000), FC],
        "model",
        "model must have at most 500000 characters in the names of its parameters, repetitions "
        "included, got 17676014",
    ),
    "a kernel of 100,000 sides": (
        [{"kind": "conv2d", "out_channels": 4, "kernel_size": [3] * 100_000}, FLAT, FC],
        "model.layers[0].kernel_size",
        "kernel_size must be a whole number, or a list of length 2 for conv2d, got a list of "
        "100000",
    ),
    "a kernel of 10**300": (
        [{"kind": "max_pool2d", "kernel_size": 10**300}, FLAT, FC],
        "model.layers[0].kernel_size",
        f"kernel_size must be at most 64, got 1{'0' * 76}...",
    ),
    "50,000 initialisations": (
        [FLAT, {**FC, "init": {f"w{i}": "zeros" for i in range(50_000)}}],
        "model.layers[1].init",
        "init must have at most 64 names, got 50000",
    ),
    "50,000 shares": (
        [FLAT, {**FC, "share": {f"w{i}": "a.b" for i in range(50_000)}}],
        "model.layers[1].share",
        "share must have at most 64 names, got 50000",
    ),
    "10,000 times a wrong shape": (
        [FLAT, *repeated(10_000, [{"kind": "linear", "out_features": 9}])],
        "model",
        "model must accept examples of digits, which are (channels 1, height 8, width 8): layer 1: "
        "repeat needs layers whose output has the shape of their input, (features 64), "
        "got (features 9)",
    ),
}


@pytest.mark.parametrize(("layers", "param", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_network_that_costs_too_much_is_refused_at_once(
    layers: list[Json], param: str, message: str
) -> None:
    model = {"kind": "sequential", "layers": layers}
    began = time.process_time()

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(run(model=model))

    assert time.process_time() - began < AT_MOST_S
    assert [(each.param, each.message) for each in caught.value.problems] == [(param, message)]


def test_the_limits_themselves_are_accepted() -> None:
    deep = nested(MAX_DEPTH - 1)
    wide = [FLAT, FC, *[{"kind": "relu"}] * 1998]
    long = [FLAT, FC, *repeated(MAX_NODES // 2 - 2, [{"kind": "relu"}])]
    for layers in (deep, wide, long):
        RunSpec.parse(run(model={"kind": "sequential", "layers": layers}))


@pytest.mark.parametrize(
    "layers",
    [
        None,
        3,
        "layers",
        [3],
        [None],
        [[FC]],
        {"a": 1},
        [{"kind": "repeat", "times": "x", "layers": 3}],
    ],
    ids=str,
)
def test_what_is_no_list_of_layers_is_an_error_of_its_own(layers: object) -> None:
    with pytest.raises(SpecError):
        RunSpec.parse(run(model={"kind": "sequential", "layers": layers}))


DEEP = [FLAT, FC, *repeated(9000, [FC])]


@pytest.mark.parametrize(
    "optimizer",
    [
        {"groups": [{"match": f"*a*b*c*d*e{i}*"} for i in range(200)]},
        {"groups": [{"preset": "layer_decay", "factor": 0.9}]},
        {"dialect": "paddleocr", "no_weight_decay_name": " ".join(map(str, range(200)))},
    ],
    ids=["globs", "layer_decay", "names"],
)
def test_groups_of_a_large_network_are_bounded(optimizer: Json) -> None:
    model = {"kind": "sequential", "layers": DEEP}
    began = time.process_time()

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(run(model=model, optimizer={"kind": "adamw", **optimizer}))

    (problem,) = caught.value.problems
    assert time.process_time() - began < AT_MOST_S
    assert problem.param == "optimizer.groups"
    assert problem.message.startswith(
        "groups must compare at most 20000000 characters, got 198014 in the names of the "
        "parameters times "
    )


@pytest.mark.parametrize(
    ("changes", "param", "whose"),
    [
        (
            {"training": {"steps": 20, "frozen": [f"*a{i}*b" for i in range(60)]}},
            "training.frozen",
            "frozen",
        ),
        (
            {"optimizer": {"kind": "muon", "exclude": [f"*a{i}*b" for i in range(60)]}},
            "optimizer.exclude",
            "exclude",
        ),
    ],
    ids=["frozen", "exclude"],
)
def test_an_error_about_globs_names_the_field_that_has_them(
    changes: Json, param: str, whose: str
) -> None:
    model = {"kind": "sequential", "layers": DEEP}

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(run(model=model, **changes))

    (problem,) = caught.value.problems
    assert problem.param == param
    assert problem.message == (
        f"{whose} must compare at most 20000000 characters, got 198014 in the names of the "
        "parameters times 240 for globs: 1 for one with * only at its ends, 2 for each wildcard of "
        "another (with ? or [ at least 10); 1 for each layer with layer_decay; names without "
        "wildcards count nothing"
    )


def test_a_large_network_may_have_some_groups() -> None:
    groups = [{"match": "*.bias", "weight_decay": 0.0}]

    RunSpec.parse(
        run(
            model={"kind": "sequential", "layers": DEEP},
            optimizer={"kind": "adamw", "groups": groups},
        )
    )


def test_a_large_network_may_have_some_globs_and_many_names() -> None:
    """20,000 tensors have globs of all kinds, and 500 groups name one of them each."""
    model = {"kind": "sequential", "layers": [FLAT, FC, *repeated(9998, [FC])]}
    frozen = ["*.bias", "2.1*", "*99*", "2.*.0.weight", "2.*7.0.*"]
    named = [{"match": f"2.{i}.0.weight", "lr": 0.1 + i} for i in range(500)]

    RunSpec.parse(run(model=model, training={"steps": 20, "frozen": frozen}))
    spec = RunSpec.parse(run(model=model, optimizer={"kind": "adam", "groups": named}))

    assert [group.names for group in spec.groups()[:2]] == [["2.0.0.weight"], ["2.1.0.weight"]]


NOT_FOUND = [f"*a{i}*b" for i in range(300)]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        (
            {"optimizer": {"kind": "adam", "groups": [{"match": each} for each in NOT_FOUND]}},
            "optimizer.groups[0].match",
        ),
        ({"optimizer": {"kind": "muon", "exclude": NOT_FOUND}}, "optimizer.exclude[0]"),
        ({"training": {"steps": 20, "frozen": NOT_FOUND}}, "training.frozen[0]"),
    ],
    ids=["groups", "exclude", "frozen"],
)
def test_globs_that_find_nothing_compile_no_expression_and_get_one_message(
    changes: Json, param: str
) -> None:
    model = {"kind": "sequential", "layers": [FLAT, *[FC] * 500]}
    functions: dict[str, Callable[..., Any]] = {
        "compiled": re.compile,
        "near": errors.did_you_mean,
        "parts": _Pattern._has_parts,
        "groups": matching.fitting,
    }

    with calls_counted(functions) as counted, pytest.raises(SpecError) as caught:
        RunSpec.parse(run(model=model, **changes))

    (problem,) = caught.value.problems
    assert problem.param == param
    # Compared with the parameters, and again for the message.
    groups = 2 if "groups" in param else 0
    assert counted == {"compiled": 0, "near": 1, "parts": 0, "groups": groups}


def test_the_first_layer_with_a_useless_initialisation_ends_the_check() -> None:
    layers = [FLAT, *[{**FC, "init": {"*a1*": "zeros", "*a2*": "ones"}}] * 500]

    with calls_counted({"globs": Globs.__init__}) as counted, pytest.raises(SpecError) as caught:
        RunSpec.parse(run(model={"kind": "sequential", "layers": layers}))

    assert "layer 1: init must match parameters" in caught.value.problems[0].message
    assert counted["globs"] == 2


def test_a_shared_network_does_not_keep_the_parameters_of_many_repetitions() -> None:
    few, many = (
        RunSpec.parse(run(model={"kind": "sequential", "layers": [FLAT, FC, *repeated(n, [FC])]}))
        for n in (900, 1000)
    )

    assert few.network.parameters is few.network.parameters
    assert many.network.parameters is not many.network.parameters
    assert len(many.parameters()) == 2002
    assert many.parameters()[-1] is many.parameters()[-1]


def test_only_the_mistakes_that_are_told_get_a_message() -> None:
    layers = [{**FC, **{f"x{i}_{j}": 1 for j in range(30)}} for i in range(100)]

    with (
        calls_counted({"near": errors.did_you_mean}) as counted,
        pytest.raises(SpecError) as caught,
    ):
        RunSpec.parse(run(model={"kind": "sequential", "layers": layers}))

    assert len(caught.value.problems) == counted["near"] == 20
    assert caught.value.more == 100 * 30 - 20
