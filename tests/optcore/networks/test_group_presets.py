"""Presets of groups in networks of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from optcore.plan.run_plan import RunPlan
from optcore.spec.groups.resolve import ResolvedGroup
from optcore.spec.run import RunSpec

HALVED = {"preset": "layer_decay", "factor": 0.5}
VIT = {"kind": "vit", "patch_size": 4, "layers": 3, "heads": 2, "hidden": 8}
FLATTEN = {"kind": "flatten"}
OUTPUT = {"kind": "linear", "name": "fc", "out_features": 10}


def groups_of(model: dict[str, Any], preset: dict[str, Any]) -> Mapping[str, ResolvedGroup]:
    """Return the group of each parameter in the plan of a run."""
    spec = RunSpec.parse(
        {
            "model": model,
            "dataset": {"kind": "digits"},
            "optimizer": {"kind": "adamw", "lr": 1.0, "weight_decay": 0.5, "groups": [preset]},
            "training": {"steps": 1},
        }
    )
    return {name: group for group in RunPlan.of(spec).groups for name in group.names}


def scales(model: dict[str, Any]) -> dict[str, float]:
    return {name: group.lr_scale for name, group in groups_of(model, HALVED).items()}


def test_a_copy_of_a_repeat_is_one_layer_of_layer_decay() -> None:
    found = scales(VIT)

    assert found["fc.weight"] == 1
    assert found["ln.weight"] == 0.5
    for i, scale in enumerate((0.0625, 0.125, 0.25)):
        assert {found[name] for name in found if name.startswith(f"encoder.{i}.")} == {scale}


def test_a_residual_block_is_one_layer_of_layer_decay() -> None:
    found = scales({"kind": "resnet"})

    assert len(set(found.values())) == len(["conv1", "bn1", *range(8), "fc"])
    assert {v for name, v in found.items() if name.startswith("layer4.0.")} == {0.25}


def test_branches_that_run_beside_each_other_are_one_layer_of_layer_decay() -> None:
    branches = [[FLATTEN, {"kind": "linear", "name": "a", "out_features": n}] for n in (3, 4)]
    parallel = {"kind": "parallel", "name": "both", "join": "concat", "branches": branches}

    found = scales({"kind": "sequential", "layers": [parallel, OUTPUT]})

    assert {v for name, v in found.items() if name.startswith("both.")} == {0.5}


@pytest.mark.parametrize("kind", ["layer_norm", "rms_norm"])
def test_a_norm_over_an_image_has_no_decay(kind: str) -> None:
    """Its weight has three dimensions."""
    layers = [{"kind": kind, "name": "norm"}, FLATTEN, OUTPUT]

    found = groups_of({"kind": "sequential", "layers": layers}, {"preset": "no_decay_norm_bias"})

    decays = {name: group.spec.weight_decay for name, group in found.items()}
    assert decays["norm.weight"] == 0
    assert decays["fc.weight"] == 0.5
