"""Limits of one spec: how much it may ask for, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.plan.preview import PreviewSpec
from optcore.plan.sampling import MOST_PLANNED
from optcore.plan.schedule import MOST_WARNINGS, plan_schedule
from optcore.spec.errors import SpecError
from optcore.spec.limits import MAX_GROUPS, MAX_NAMES, MAX_SCHEDULES
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.run import RunSpec
from optcore.training.run import Run
from tests.support.optcore.runs.run_specs import refused, run
from tests.support.optcore.runs.small import NOWHERE, steps

WIDE = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        *({"kind": "linear", "out_features": 10, "name": f"l{i}"} for i in range(199)),
    ],
}
"""A network with 398 parameters: as many as there may be."""


@pytest.mark.parametrize(
    ("changes", "param", "message"),
    [
        (
            {"optimizer": {"kind": "adam", "groups": [{"match": "*"}] * (MAX_GROUPS + 1)}},
            "optimizer.groups",
            "groups must have at most 500 entries, got 501",
        ),
        (
            {
                "optimizer": {
                    "kind": "adam",
                    "groups": [
                        {"match": {"name": ["fc1.*"] * 600}},
                        {"match": "fc2.weight"},
                        {"match": {"name": ["fc2.*"] * 500}},
                    ],
                }
            },
            "optimizer.groups",
            "groups must have at most 1000 names and globs together, got 1101",
        ),
        (
            {"optimizer": {"kind": "muon", "exclude": ["a"] * (MAX_NAMES + 1)}},
            "optimizer.exclude",
            "exclude must have at most 1000 entries, got 1001",
        ),
        (
            {"optimizer": {"kind": "adam", "groups": [{"match": "*a" * 11}]}},
            "optimizer.groups[0].match",
            "a glob must have at most 10 wildcards (* ? [), got '*a*a*a*a*a*a*a*a*a*a*a'",
        ),
        (
            {"optimizer": {"kind": "adam", "groups": [{"match": "a" * 201}]}},
            "optimizer.groups[0].match",
            "match must have at most 200 characters, got 'aaaa",
        ),
        (
            {"optimizer": {"kind": "adam", "schedules": {f"f{i}": 1 for i in range(1000)}}},
            "optimizer.schedules",
            "schedules must have at most 64 names, got 1000",
        ),
        (
            {
                "schedule": {
                    "kind": "product",
                    "schedules": [
                        {"kind": "product", "schedules": [{"kind": "cosine"}] * 100}
                    ] * 5,
                }
            },
            "schedule",
            "there must be at most 500 schedules, including those that are parts of others, got "
            "506",
        ),
        (
            {
                "schedule": {
                    "kind": "product",
                    "schedules": [{"kind": "multi_step", "milestones": [5] * 1000}] * 6,
                }
            },
            "schedule",
            "schedules must have at most 5000 boundaries and milestones, all together, got 6000",
        ),
        (
            {
                "training": {"steps": 900_000},
                "schedule": {
                    "kind": "product",
                    "schedules": [
                        {"kind": "step", "every": 5, "dialect": "torch", "precision": "float32"}
                    ] * 3,
                },
            },
            "schedule",
            "schedules must compute at most 2000000 values, all together, from the value of the "
            "previous step, got 2700000; a schedule of precision float64, or a product of dialect "
            "plain, does not need the value of the previous step",
        ),
        (
            {
                "dataset": {"kind": "digits", "batch_size": 1000, "validation": 0.1},
                "training": {"epochs": 500_001},
            },
            "training.evaluate_every",
            "evaluate_every must give at most 100000 evaluations, got 500001; evaluate every 11 "
            "steps or less often",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_counts_are_bounded(changes: dict[str, Any], param: str, message: str) -> None:
    (problem,) = refused(run(**changes)).problems

    assert problem.param == param
    assert problem.message.startswith(message)


def test_as_many_evaluations_as_there_may_be_are_accepted() -> None:
    training = {"steps": 1_000_000, "evaluate_every": 10}

    RunSpec.parse(run(dataset={"kind": "digits", "validation": 0.1}, training=training))
    # Without validation examples there is one evaluation, at the end.
    RunSpec.parse(run(training={**training, "evaluate_every": 1}))


def test_groups_without_parameters_are_listed_like_other_mistakes() -> None:
    """The first takes all, whatever comes after it."""
    decays = [{"preset": "layer_decay"}] * MAX_GROUPS

    error = refused(run(model=WIDE, optimizer={"kind": "adam", "groups": decays}))

    assert error.problems[0].param == "optimizer.groups[1].match"
    assert "match must find a parameter that no earlier group has" in error.problems[0].message


def test_each_of_the_maximum_number_of_groups_is_resolved_once() -> None:
    groups = [{"match": f"l{i}.{kind}", "lr": 0.1 + i} for i in range(199) for kind in ("w*", "b*")]

    spec = RunSpec.parse(run(model=WIDE, optimizer={"kind": "adam", "groups": groups}))

    assert len(spec.groups()) == 398
    assert spec.groups()[0] is spec.groups()[0]
    assert [group.names for group in spec.groups()][:2] == [["l0.weight"], ["l0.bias"]]


def test_the_largest_preview_has_no_more_schedules_than_the_largest_job() -> None:
    part = {"kind": "product", "schedules": [{"kind": "constant"}] * 100}
    groups = [{"name": f"g{i}", "schedule": part} for i in range(5)]

    with pytest.raises(SpecError, match=f"at most {MAX_SCHEDULES} schedules"):
        PreviewSpec.parse(
            {"schedule": {"kind": "constant"}, "lr": 0.1, "total_steps": 2, "groups": groups}
        )


def test_the_plan_of_a_very_long_run_is_a_sample_with_a_warning() -> None:
    spec = RunSpec.parse(
        run(training={"steps": 5 * MOST_PLANNED}, schedule={"kind": "linear", "end": 0.0})
    )

    known = plan_schedule(spec.schedule, lr=0.1, total_steps=spec.total_steps, steps_per_epoch=1)

    assert (known.first, known.peak, known.peak_step) == (0.1, 0.1, 0)
    assert known.last == pytest.approx(0.1 / spec.total_steps)
    assert known.area == pytest.approx(0.05 * spec.total_steps, rel=1e-3)
    (warning,) = known.warnings
    assert "this plan is computed from" in warning


def test_a_plan_lists_its_first_warnings_and_counts_the_others() -> None:
    milestones = list(range(1000, 1100))
    spec = RunSpec.parse(run(schedule={"kind": "multi_step", "milestones": milestones}))

    known = plan_schedule(spec.schedule, lr=0.1, total_steps=20, steps_per_epoch=1)

    assert len(known.warnings) == MOST_WARNINGS + 1
    assert known.warnings[-1] == "and 80 more warnings"


MANY_NAMES = ["*", *map(str, range(1500))]
LARGE: dict[str, dict[str, Any]] = {
    "iterations": {"optimizer": {"kind": "lbfgs", "max_iter": 5000, "history_size": 2000}},
    "names": {
        "optimizer": {
            "kind": "adam",
            "groups": [{"match": {"name": ["*", *map(str, range(1500))]}}],
        }
    },
    "a long name": {
        "optimizer": {"kind": "adam", "groups": [{"match": {"name": ["*", "x" * 300]}, "lr": 0.1}]}
    },
    "wildcards": {"optimizer": {"kind": "adam", "groups": [{"match": "*" * 20, "lr": 0.1}]}},
    "patience": {"optimizer": {"kind": "schedule_free_adamw", "warmup_steps": 10**12}},
    "evaluations": {
        "dataset": {"kind": "digits", "validation": 0.1},
        "training": {"steps": 200_000, "evaluate_every": 1},
    },
}
"""What was accepted before there were the limits."""


@pytest.mark.parametrize("name", LARGE)
def test_a_spec_accepted_without_the_limits_still_parses(name: str) -> None:
    data = run(**LARGE[name])
    refused(data)

    accepted = RunSpec.parse_accepted(data)

    assert accepted.groups()
    if name == "iterations":
        assert isinstance(accepted.optimizer, Lbfgs)
        assert (accepted.optimizer.max_iter, accepted.optimizer.history_size) == (5000, 2000)


ONE_CYCLE = {"kind": "one_cycle", "dialect": "torch", "precision": "float32"}
ACCEPTED: dict[str, dict[str, Any]] = {
    "many names": {"optimizer": {"kind": "adam", "groups": [{"match": {"name": MANY_NAMES}}]}},
    "a precision without effect": {"schedule": ONE_CYCLE},
    "the same in a group": {
        "optimizer": {
            "kind": "momentum",
            "groups": [{"match": "*", "momentum": {**ONE_CYCLE, "value": 0.9}}],
            "clip": {"kind": "norm", "max": 1.0},
        },
    },
    "a scaling of another dialect": {
        "optimizer": {
            "kind": "muon",
            "dialect": "keras",
            "adjust_lr": "original",
            "clip": {"kind": "norm", "max": 1.0},
        },
    },
}
"""What an earlier release has accepted, and a limit or a rule refuses now."""


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_job_that_was_accepted_is_trained_whatever_is_refused_now(name: str) -> None:
    data = run(**ACCEPTED[name])
    refused(data)

    started = Run.start(RunSpec.parse_accepted(data), data_dir=NOWHERE)

    assert len(steps(started)) == 20


def test_other_mistakes_are_refused_without_the_limits_too() -> None:
    with pytest.raises(SpecError, match="unknown field"):
        RunSpec.parse_accepted(run(lrr=1))
    with pytest.raises(SpecError, match="lr must be"):
        RunSpec.parse_accepted(run(optimizer={"kind": "adam", "lr": -1}))
