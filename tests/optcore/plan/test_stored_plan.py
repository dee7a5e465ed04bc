"""The plan that is stored with a job says what was resolved when the job was accepted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from optcore.data.examples import DatasetMissing
from optcore.plan.facts import DatasetFacts
from optcore.plan.run_plan import MAX_STORED_GROUPS, VERSION, StoredPlan
from optcore.plan.stored_groups import OF_ALL, read_groups, stored_groups
from optcore.schedules.gallery import EXAMPLES
from optcore.spec.errors import SpecError
from optcore.spec.groups.resolve import ResolvedGroup
from optcore.spec.run import RunSpec
from optcore.spec.stored import read_stored
from optcore.training.run import Run
from tests.support.optcore.runs.run_specs import run
from tests.support.optcore.updates.optimizer_specs import variants

LINEAR: dict[str, Any] = {"kind": "linear", "end": 0.5}
GROUPED: list[dict[str, Any]] = [
    {"groups": [{"match": "*.bias", "weight_decay": 0.0}]},
    {"groups": [{"preset": "layer_decay", "factor": 0.5}], "weight_decay": 0.1},
    {"groups": [{"preset": "no_decay_norm_bias"}], "weight_decay": 0.1},
    {
        "clip": {"kind": "global_norm", "max": 1.0},
        "groups": [
            {"match": "fc1.*", "clip": None, "lr_scale": 0.1, "schedule": {"kind": "cosine"}},
            {"match": "*.weight", "clip": {"kind": "value", "max": 0.1}, "lr": 0.5},
        ],
    },
    {"groups": [{"match": "*.bias", "weight_decay": {**LINEAR, "value": 0.1}}]},
    {"schedules": {"weight_decay": LINEAR}, "weight_decay": 0.1, "groups": [{"match": "fc1.*"}]},
    {"clip_update": {"kind": "value", "max": 1.0}, "groups": [{"match": "*.bias", "l1": 0.1}]},
    {"corrected_weight_decay": True, "decoupled_weight_decay": True, "weight_decay": 0.1},
]


def accepted(optimizer: dict[str, Any], **parts: Any) -> RunSpec | None:
    """Return the run with *optimizer*; None if it is refused."""
    try:
        return RunSpec.parse(run(optimizer=optimizer, **parts))
    except SpecError:
        return None


def optimizers() -> list[dict[str, Any]]:
    """Return specs of every optimizer and dialect, without and with groups."""
    alone = [{n: v for n, v in spec.items() if n != "ema"} for spec in variants()]
    unique = {json.dumps({**spec, "engine": "auto"}): spec for spec in alone}
    return [*alone, *({**spec, **more} for spec in unique.values() for more in GROUPED)]


def comparable(group: ResolvedGroup) -> tuple[object, ...]:
    dumped = group.spec.model_dump(mode="json")
    fields = {name: value for name, value in dumped.items() if name not in OF_ALL}
    numbers, flags = group.spec.hyperparameters(), group.spec.flags(single_precision=True)
    return type(group.spec), fields, numbers, flags, replace(group, spec=None)  # type: ignore[arg-type]


def test_groups_are_read_as_they_were_resolved() -> None:
    compared = 0
    for optimizer in optimizers():
        spec = accepted(optimizer)
        if spec is None:  # the dialect has no such field
            continue
        stored = json.loads(json.dumps(stored_groups(spec)))
        fresh = read_stored(RunSpec, json.loads(spec.model_dump_json()))

        read = read_groups(stored, fresh)

        assert [comparable(g) for g in read] == [comparable(g) for g in spec.groups()], optimizer
        compared += 1
    assert compared > 600


def test_a_stored_spec_is_read_as_it_was_validated() -> None:
    specs = [accepted(optimizer) for optimizer in optimizers()]
    specs += [
        accepted({"kind": "sgd", "lr": 0.1}, schedule=schedule, training={"steps": 5000})
        for schedule in EXAMPLES.values()
    ]
    for spec in filter(None, specs):
        read = read_stored(RunSpec, json.loads(spec.model_dump_json()))

        assert read == RunSpec.parse(json.loads(spec.model_dump_json()))
        assert read.model_dump_json() == spec.model_dump_json()


def test_a_stored_spec_with_an_unknown_field_is_refused() -> None:
    data = json.loads(RunSpec.parse(run()).model_dump_json())

    with pytest.raises(SpecError, match="magic"):
        read_stored(RunSpec, {**data, "magic": 1})


def test_the_plan_survives_being_stored() -> None:
    spec = RunSpec.parse(run())
    plan = StoredPlan.of(spec)

    assert StoredPlan.read(plan.text()) == plan
    assert plan.resolved(spec).groups() == spec.groups()


def test_a_plan_in_a_form_of_another_release_is_not_trusted() -> None:
    _, *stored = json.loads(StoredPlan.of(RunSpec.parse(run())).text())

    assert StoredPlan.read(json.dumps([VERSION + 1, *stored, "more"])) is None


def test_groups_that_are_too_long_are_resolved_again() -> None:
    groups = [{"match": f"{i}.*", "lr_scale": 1 / i} for i in range(1, 60)]
    layers = [{"kind": "linear", "out_features": 10}] * 60
    model = {"kind": "sequential", "layers": [{"kind": "flatten"}, *layers]}
    spec = RunSpec.parse(run(model=model, optimizer={"kind": "adam", "groups": groups}))

    plan = StoredPlan.of(spec)

    assert len(json.dumps(stored_groups(spec))) > MAX_STORED_GROUPS
    assert plan.groups is None
    assert len(plan.text()) < MAX_STORED_GROUPS
    assert plan.resolved(spec) is spec


def test_a_run_refuses_a_dataset_that_is_not_the_planned_one(tmp_path: Path) -> None:
    spec = RunSpec.parse(run())
    plan = StoredPlan.of(spec)
    other = replace(plan, dataset="0" * 12)

    with pytest.raises(
        DatasetMissing,
        match=r"^digits must be the dataset that the job was accepted for, with digest 0{12}, got "
        r"one with digest [0-9a-f]{12} \(1500 training, 0 validation and 297 test examples\)$",
    ):
        Run.start(spec, data_dir=tmp_path, plan=other)
    assert Run.start(spec, data_dir=tmp_path, plan=plan).total_steps == 20


def test_another_content_has_another_digest() -> None:
    facts = DatasetFacts.of(RunSpec.parse(run()).dataset)

    assert facts.digest == replace(facts).digest
    assert facts.digest != replace(facts, content="2").digest
