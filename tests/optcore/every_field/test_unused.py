"""Fields of optimizers that change nothing beside the other fields of a run, and the warnings."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.optimizers.engine.group_update import fusible
from optcore.optimizers.make import parse
from optcore.plan.unused import unused_fields, unused_in
from optcore.spec.errors import SpecError
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.run import RunSpec
from tests.support.optcore.moving import updates
from tests.support.optcore.moving.values import others
from tests.support.optcore.runs.run_specs import run


def warnings(optimizer: dict[str, Any], *, schedule: str = "linear", **training: Any) -> list[str]:
    run = {
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": optimizer,
        "schedule": {"kind": schedule},
        "training": {"steps": 20, **training},
    }
    return list(unused_fields(RunSpec.parse(run)))


@pytest.mark.parametrize(
    ("optimizer", "warning"),
    [
        (
            {"kind": "adam", "decoupled_weight_decay": True},
            "optimizer.decoupled_weight_decay: is not used, since weight_decay is 0",
        ),
        (
            {"kind": "adafactor", "dialect": "mindspore", "lr": 0.1},
            "optimizer.lr: is not used, since relative_step is true",
        ),
        (
            {"kind": "adafactor", "dialect": "keras", "relative_step": False},
            "optimizer.relative_step: is not used, since Keras has the argument and does not read "
            "it",
        ),
        (
            {"kind": "muon", "rms_rate": 0.3},
            "optimizer.rms_rate: is not used, since adjust_lr is original, not match_rms_adamw",
        ),
        (
            {"kind": "adabelief", "dialect": "timm", "degenerated_to_sgd": False},
            "optimizer.degenerated_to_sgd: is not used, since rectify is false",
        ),
        (
            {"kind": "muon", "dialect": "timm", "ns_a": 3.0},
            "optimizer.ns_a: is not used, since ns_schedule is quintic, not constant",
        ),
        (
            {"kind": "muon", "dialect": "timm", "normalize_spatial": False},
            "optimizer.normalize_spatial: is not used, since conv_mode is flatten, not batched",
        ),
        (
            {"kind": "schedule_free_adamw", "weight_lr_power": 1.0},
            "optimizer.weight_lr_power: is not used, since warmup_steps is 0",
        ),
        (
            {"kind": "lars", "dialect": "paddle", "lr": 0.1, "weight_decay": 0.0, "eps": 0.1},
            "optimizer.eps: is not used, since a step is scaled only where weight_decay is not 0",
        ),
        (
            {"kind": "lars", "dialect": "optax", "lr": 0.1, "adapt": False, "lars_coeff": 0.1},
            "optimizer.lars_coeff: is not used, since adapt is false",
        ),
        (
            {"kind": "rprop", "clip": {"kind": "norm", "max": 1.0}},
            "optimizer.clip: is not used, since rprop uses nothing of a gradient but its signs",
        ),
        (
            {"kind": "adam", "multi_precision": True},
            "optimizer.multi_precision: is not used, since no parameter has 16 bits in precision "
            "fp32",
        ),
        (
            {"kind": "sgd", "dialect": "keras", "engine": "fused"},
            "optimizer.engine: is not used, since torch's fused kernel has no "
            "decoupled_weight_decay",
        ),
        (
            {"kind": "adam", "engine": "fused", "maximize": True},
            "optimizer.engine: is not used, since torch's fused kernel has no maximize",
        ),
        (
            {"kind": "adam", "groups": [{"match": "*.bias", "factor": 0.5}]},
            "optimizer.groups[0].factor: is not used, since preset is not layer_decay",
        ),
        (
            {"kind": "adam", "groups": [{"match": "*.bias", "decoupled_weight_decay": True}]},
            "optimizer.groups[0].decoupled_weight_decay: is not used, since weight_decay is 0",
        ),
    ],
)
def test_a_field_that_changes_nothing_is_named(optimizer: dict[str, Any], warning: str) -> None:
    assert warning in warnings(optimizer)


def test_a_corrected_decay_needs_an_lr_that_moves() -> None:
    spec = {"kind": "adamw", "corrected_weight_decay": True}

    assert warnings(spec, schedule="linear") == []
    assert warnings(spec, schedule="constant") == [
        "optimizer.corrected_weight_decay: is not used, since lr does not change"
    ]


def test_what_a_group_makes_count_is_not_named() -> None:
    group = {"match": "*.weight", "weight_decay": 0.1}

    assert warnings({"kind": "adam", "decoupled_weight_decay": True, "groups": [group]}) == []


def test_an_ordinary_run_has_no_warning() -> None:
    for kind in OPTIMIZERS:
        assert warnings({"kind": kind, "lr": 0.01}, schedule="constant") == [], kind


@pytest.mark.parametrize("kind", [kind for kind, cls in OPTIMIZERS.items() if cls.FUSED_IN])
def test_an_engine_that_is_asked_for_in_vain_is_named_and_no_other(kind: str) -> None:
    """The library chooses the engine, and a plan is made without it: the two must agree."""
    for dialect in OPTIMIZERS[kind].DIALECTS:
        base = {"kind": kind, "dialect": dialect, "lr": 0.05, "engine": "fused"}
        for name, field in OPTIMIZERS[kind].model_fields.items():
            for value in others(field, None):
                try:
                    spec = parse({**base, name: value})
                except SpecError:
                    continue
                if spec.engine == "fused":
                    named = "engine" in dict(unused_in(spec))
                    assert named == (not fusible(spec)), (dialect, name, value)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "schedule_free_adamw", "dialect": "optax", "weight_lr_power": 300.0},
        {"kind": "schedule_free_sgd", "dialect": "article", "warmup_steps": 5000,
         "weight_lr_power": 3000.0},
    ],
)  # fmt: skip
def test_a_weight_that_is_too_small_for_a_float_is_0(spec: dict[str, Any]) -> None:
    """The first update raised ZeroDivisionError."""
    assert updates.effect(parse({**spec, "lr": 0.05}))


def test_an_interval_of_evaluations_needs_validation_examples() -> None:
    sgd = {"kind": "sgd"}

    assert warnings(sgd, evaluate_every=5) == [
        "training.evaluate_every: is not used, since there are no validation examples; hold out a "
        "part of the training examples with dataset.validation, such as 0.1"
    ]
    assert warnings(sgd) == warnings(sgd, evaluate_every=None) == []


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ({"kind": "conv2d", "out_channels": 2, "kernel_size": 3}, {"padding_mode": "reflect"}),
        ({"kind": "avg_pool2d", "kernel_size": 2}, {"count_include_pad": False}),
    ],
    ids=lambda part: str(part)[:30],
)
@pytest.mark.parametrize("padding", [0, 1, [0, 0], [0, 1]], ids=str)
def test_a_field_about_padding_needs_padding(
    layer: dict[str, Any], name: dict[str, Any], padding: Any
) -> None:
    end = [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}]
    layers = [{**layer, **name, "padding": padding}, *end]
    spec = RunSpec.parse(run(model={"kind": "sequential", "layers": layers}))

    (field,) = name
    text = f"layer 0: {field} is not used, since padding is 0"
    assert (text in unused_fields(spec)) is (padding in (0, [0, 0]))
