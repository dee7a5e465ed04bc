"""Which runs release 0.2.0 computes as this release does; its workers may claim those alone."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.base import Spec
from optcore.spec.duration import rounding
from optcore.spec.former.runs import (
    FORMER_OPTIMIZERS,
    FORMER_SCHEDULES,
    LATER_DIALECTS,
    has_fractions,
    is_former,
)
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run

EPOCH = RunSpec.parse(run()).steps_per_epoch
ADAM: dict[str, Any] = {"kind": "adam", "lr": 0.1}


def epochs(steps: float) -> dict[str, float]:
    return {"epochs": steps / EPOCH}


def former(training: dict[str, Any] | None = None, **parts: Any) -> bool:
    return is_former(RunSpec.parse(run(**parts, training={"steps": 200, **(training or {})})))


WARM: dict[str, Any] = {"kind": "cosine", "warmup": {"length": 5}}
SAME: list[dict[str, Any]] = [
    {"kind": "cosine"},
    {"kind": "cosine", "length": {"epochs": 2}},
    {"kind": "cosine", "warmup": {"length": 5, "shape": "cosine"}},
    {"kind": "step", "every": {"epochs": 2}},
    {"kind": "one_cycle"},
]
OTHER: list[dict[str, Any]] = [
    {"kind": "cosine", "length": epochs(15.5)},
    {"kind": "cosine", "warmup": {"length": epochs(2.5)}},
    {"kind": "cosine", "warmup": {"length": {"fraction": 0.5}}},
    {"kind": "cosine", "warmup": {"length": 5, "shape": "sqrt"}},
    {"kind": "cosine", "warmup": {"length": 200, "after": "delay"}},
    {"kind": "wsd", "decay": 20, "shape": "power"},
    {"kind": "one_cycle", "pct_start": 0.0},
    {"kind": "piecewise", "dialect": "paddle", "boundaries": [5, 5], "values": [1.0, 0.5, 0.1]},
    {"kind": "polynomial", "dialect": "tf1", "cycle": True, "length": 7},
    {"kind": "cosine", "k_decay": 2.0},
    {"kind": "cosine", "dialect": "timm"},
    {"kind": "scale", "factor": 2, "schedule": {"kind": "cosine", "dialect": "optax"}},
    {"kind": "per_epoch", "schedule": {"kind": "step", "every": {"epochs": 1.5}}},
    {"kind": "multi_step", "milestones": [3, epochs(7.5)]},
    {"kind": "chain", "schedules": [WARM, {"kind": "constant"}], "boundaries": [20]},
    {"kind": "shift", "by": 3, "schedule": {"kind": "one_cycle"}},
    {"kind": "product", "dialect": "torch", "schedules": [{"kind": "cosine", "dialect": "torch"}]},
]


@pytest.mark.parametrize("schedule", [*SAME, *OTHER], ids=str)
def test_a_schedule_is_found_wherever_it_is(schedule: dict[str, Any]) -> None:
    same = schedule in SAME

    assert former(schedule=schedule) is same
    assert former(optimizer={**ADAM, "schedules": {"weight_decay": schedule}}) is same
    for where in ({"schedules": {"weight_decay": schedule}}, {"schedule": schedule}):
        groups = [{"match": "*.bias", **where}]
        assert former(optimizer={**ADAM, "groups": groups}) is same, where


def test_0_2_0_trains_all_parameters() -> None:
    assert former()
    assert not former({"frozen": ["fc1.*"]})


@pytest.mark.parametrize(
    "optimizer",
    [
        {"kind": "adan"},
        {"kind": "muon", "dialect": "article"},
        {"kind": "lion", "dialect": "optax", "lr": 0.1},
        {"kind": "lion", "dialect": "mindspore"},
        {"kind": "adamw", "dialect": "bitsandbytes", "state_bits": 8},
        {"kind": "lion", "cautious": True},
        {"kind": "adamw", "dialect": "mindspore"},
        {**ADAM, "clip": {"kind": "rms", "max": 1.0}},
        {**ADAM, "clip": {"kind": "adaptive", "max": 0.1}},
        {**ADAM, "groups": [{"match": "*.bias", "clip": {"kind": "rms", "max": 1.0}}]},
        {**ADAM, "groups": [{"match": "*.bias", "cautious": True}]},
    ],
    ids=str,
)
def test_an_optimizer_that_0_2_0_does_not_have_is_found(optimizer: dict[str, Any]) -> None:
    assert former(optimizer=ADAM)
    assert not former(optimizer=optimizer)


def test_the_first_step_of_rprop_depends_on_the_schedule() -> None:
    assert former(optimizer={"kind": "rprop"})
    assert not former(optimizer={"kind": "rprop"}, schedule={"kind": "cosine"})


MOVED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "nadam"}, {"schedules": {"beta1": {"kind": "cosine"}}}),
    (
        {"kind": "nadam"},
        {"groups": [{"match": "*", "momentum_decay": {"kind": "cosine", "value": 1}}]},
    ),
    *(
        ({"kind": kind, "dialect": dialect}, {"schedules": {beta: {"kind": "cosine"}}})
        for kind, dialect, beta in (
            *(
                ("adam", "tf1", "beta2"),
                ("adam", "paddleocr", "beta1"),
                ("adamw", "paddle", "beta2"),
            ),
            *(("lazy_adam", "paddle", "beta1"), ("adamax", "paddle", "beta1")),
            *(
                ("lamb", "paddle", "beta2"),
                ("radam", "paddle", "beta1"),
                ("nadam", "paddle", "beta2"),
            ),
        )
    ),
    ({"kind": "schedule_free_adamw"}, {"schedules": {"r": {"kind": "cosine"}}, "r": 1.0}),
    ({"kind": "schedule_free_adamw"}, {"groups": [{"match": "*", "schedule": {"kind": "cosine"}}]}),
]


@pytest.mark.parametrize(("optimizer", "moved"), MOVED, ids=str)
def test_a_number_that_0_2_0_takes_from_the_last_value_alone_is_found(
    optimizer: dict[str, Any], moved: dict[str, Any]
) -> None:
    assert former(optimizer=optimizer)
    assert not former(optimizer={**optimizer, **moved})


@pytest.mark.parametrize(
    ("kind", "dialect", "name"),
    [
        *(("adam", "torch", "beta1"), ("adam", "mindspore", "beta1"), ("lamb", "keras", "beta2")),
        *(("adam", "paddle", "eps"), ("adamax", "paddle", "beta2"), ("nadam", "torch", "beta2")),
    ],
)
def test_other_numbers_that_move_are_taken_from_the_last_value(
    kind: str, dialect: str, name: str
) -> None:
    optimizer = {"kind": kind, "dialect": dialect, "schedules": {name: {"kind": "cosine"}}}

    assert former(optimizer=optimizer)


def test_the_weights_of_an_average_depend_on_the_schedule_but_not_in_keras() -> None:
    optimizer, cosine = {"kind": "schedule_free_adamw"}, {"kind": "cosine"}

    assert not former(optimizer=optimizer, schedule=cosine)
    assert former(optimizer={**optimizer, "dialect": "keras"}, schedule=cosine)
    assert former(optimizer={"kind": "nadam"}, schedule=cosine)


@pytest.mark.parametrize(
    "ema",
    [
        {"kind": "keras"},
        {"kind": "swa"},
        {"ramp": 200},
        {"begin": 1},
        {"every": 2},
        {"every_from": "epoch"},
        {"statistics": "copy"},
        {"power": 1.0},
        {"copy_first": True},
        {"decay": {"kind": "cosine", "value": 0.9, "end": 1}},
    ],
    ids=str,
)
def test_an_average_that_0_2_0_does_not_have_is_found(ema: dict[str, Any]) -> None:
    assert former(training={"ema": {"decay": 0.9}})
    assert not former(training={"ema": ema})


@pytest.mark.parametrize(
    "training",
    [
        {"precision": "mindspore_o1"},
        {"precision": "mindspore_o2"},
        {"precision": "mindspore_o3"},
        {"loss_scale": {"kind": "dynamic", "start": 1.0}},
    ],
    ids=str,
)
def test_a_precision_that_0_2_0_does_not_have_is_found(training: dict[str, Any]) -> None:
    assert former(training={"precision": "fp16", "loss_scale": {"kind": "dynamic", "start": 2.0}})
    assert not former(training=training)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_is_either_known_to_0_2_0_or_not(kind: str) -> None:
    dialect = OPTIMIZERS[kind].DIALECTS[0]
    later = kind not in FORMER_OPTIMIZERS or dialect in LATER_DIALECTS

    assert former(optimizer={"kind": kind, "dialect": dialect, "lr": 1e-3}) is not later


@pytest.mark.parametrize("kind", sorted(FORMER_SCHEDULES))
def test_every_schedule_is_known_to_0_2_0(kind: str) -> None:
    example = {key: value for key, value in SCHEDULES[kind].EXAMPLE.items() if key != "dialect"}
    if kind == "values":
        example["values"] = [0.5] * 200

    if SCHEDULES[kind].STATEFUL:  # observed at evaluations, which are others in 0.2.0
        example["metric"] = "train_loss"

    assert former(schedule={"kind": kind, **example}) is not SCHEDULES[kind].STATEFUL


def test_a_schedule_that_0_2_0_does_not_have_is_found() -> None:
    accumulated = {"accumulate": EPOCH}
    schedule = {"kind": "per_batch", "schedule": {"kind": "cosine"}, **accumulated}

    assert former(accumulated, schedule={"kind": "cosine"})
    assert not former(accumulated, schedule=schedule)
    assert not former(accumulated, schedule={"kind": "scale", "factor": 2, "schedule": schedule})


@pytest.mark.parametrize(
    "path", [("dataset", "kind"), ("model", "kind"), ("training", "loss", "kind")], ids=str
)
def test_a_name_that_0_2_0_does_not_have_is_found(path: tuple[str, ...]) -> None:
    """Also the name of a network whose layers 0.2.0 has, or of a dataset for a task that it has."""
    spec = RunSpec.parse(run())

    assert is_former(spec)
    assert not is_former(changed(spec, path, "added_later"))


def test_a_column_that_0_2_0_does_not_have_is_found() -> None:
    spec = RunSpec.parse(run(training={"steps": 20, "columns": ["grad_norm", "memory_mb"]}))

    assert is_former(spec)
    assert not is_former(changed(spec, ("training", "columns"), ["grad_norm", "added_later"]))


def changed(spec: Spec, path: tuple[str, ...], value: object) -> Any:
    """Return *spec* with another value at *path*, which nothing checks."""
    name, *inside = path
    new = changed(getattr(spec, name), tuple(inside), value) if inside else value
    return spec.model_copy(update={name: new})


def test_the_epochs_of_a_schedule_per_batch_are_epochs_of_batches() -> None:
    def inside(length: float) -> RunSpec:
        cosine = {"kind": "cosine", "length": epochs(length)}
        schedule = {"kind": "per_batch", "schedule": cosine, "accumulate": EPOCH}
        return RunSpec.parse(run(schedule=schedule, training={"steps": 9, "accumulate": EPOCH}))

    assert has_fractions(inside(1.5))
    assert not has_fractions(inside(1))


def test_a_duration_that_is_rounded_is_no_fraction() -> None:
    data = run(schedule={"kind": "cosine", "length": epochs(15.5)})
    with rounding():
        accepted = RunSpec.parse(data)

    assert has_fractions(RunSpec.parse(data))
    assert not has_fractions(accepted)


@pytest.mark.parametrize("kind", ["muon", "sgd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize("precision", ["fp32", "bf16_true"])
def test_what_0_2_0_computes_otherwise_in_16_bits_is_found(kind: str, precision: str) -> None:
    later = precision == "bf16_true" and kind != "adam"

    assert former({"precision": precision}, optimizer={"kind": kind, "lr": 0.01}) is not later


FLAT: dict[str, Any] = {"kind": "flatten"}
FC: dict[str, Any] = {"kind": "linear", "out_features": 10}
CONV: dict[str, Any] = {"kind": "conv2d", "out_channels": 4, "kernel_size": 3}
OLD = [
    [CONV, {"kind": "batch_norm"}, {"kind": "relu"}, {"kind": "max_pool2d", "kernel_size": 2}],
    [FLAT, {"kind": "linear", "out_features": 65_536}],
    [FLAT, *[{"kind": "relu"}] * 197],
    [FLAT, FC, {"kind": "log_softmax"}],
]
NEW = [
    [FLAT, {"kind": "linear", "out_features": 65_537}],
    [FLAT, *[{"kind": "relu"}] * 198],
    [{"kind": "log_softmax"}],
    [{**CONV, "groups": 1, "dilation": 2}],
    [{**CONV, "kernel_size": [3, 3]}],
    [{"kind": "max_pool2d", "kernel_size": 2, "stride": 2}],
    [{"kind": "batch_norm", "affine": False}],
    [{"kind": "batch_norm", "dialect": "paddle"}],
    [{"kind": "tanh"}],
    [{"kind": "sequential", "layers": [FLAT]}],
    [{"kind": "residual", "layers": [{"kind": "relu"}]}],
    [
        FLAT,
        {**FC, "name": "a", "out_features": 64},
        {**FC, "out_features": 64, "share": {"weight": "a.weight"}},
    ],
    [{"kind": "reshape", "shape": [8, 8]}, FC],
]


@pytest.mark.parametrize("layers", [*OLD, *NEW], ids=lambda layers: str(layers)[:60])
def test_a_layer_that_0_2_0_does_not_have_is_found(layers: list[dict[str, Any]]) -> None:
    end = [{"kind": "flatten"}, FC]

    model = {"kind": "sequential", "layers": [*layers, *end]}
    if layers[-1] == {"kind": "log_softmax"} and layers in OLD:
        model["layers"] = layers

    assert former(model=model) is (layers in OLD)


def test_a_field_that_has_its_default_is_left_out_of_the_json() -> None:
    """So that a network that 0.2.0 accepted keeps its digest."""
    layers = [{**CONV, "dilation": 1, "groups": 1, "share": {}, "padding_mode": "zeros"}, FLAT, FC]

    (conv, *_) = RunSpec.parse(run(model={"kind": "sequential", "layers": layers})).model_dump()[
        "model"
    ]["layers"]

    assert conv == {**CONV, "stride": 1, "padding": 0, "bias": True, "name": None}
