"""How much one spec may ask for, and what is said where it is more."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.plan.preview import PreviewSpec
from optcore.plan.sampling import MOST_PLANNED
from optcore.plan.schedule import MOST_WARNINGS, plan_schedule
from optcore.plan.values import check_values
from optcore.spec.errors import MAX_VALUE_LENGTH, MOST_PROBLEMS, SpecError, did_you_mean, short_repr
from optcore.spec.limits import MAX_FLOAT32, MAX_GROUPS, MAX_NAMES, MAX_SCHEDULES
from optcore.spec.optimizers.lbfgs import Lbfgs
from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.reports import Diverged
from tests.support.optcore.small import spec_of, start

WIDE = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        *({"kind": "linear", "out_features": 10, "name": f"l{i}"} for i in range(199)),
    ],
}
"""A network with 398 parameters: as many as there may be."""


def run(**changes: object) -> dict[str, Any]:
    return {
        "model": {"kind": "mlp"},
        "dataset": {"kind": "digits"},
        "optimizer": {"kind": "adam"},
        "training": {"steps": 20},
        **changes,
    }


def refused(data: dict[str, Any]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)
    return caught.value


def test_only_the_first_mistakes_are_told_and_how_many_more_there_are() -> None:
    error = refused(run(**{f"f{i}": 1 for i in range(80_000)}))

    assert [p.param for p in error.problems] == [f"f{i}" for i in range(MOST_PROBLEMS)]
    assert error.more == 80_000 - MOST_PROBLEMS
    assert str(error).splitlines()[-1] == f"and {error.more} more"


def test_mistakes_deep_in_a_spec_are_counted_too() -> None:
    wrong = {"kind": "cosine", **{f"f{i}": 1 for i in range(50)}}
    chain = {"kind": "chain", "schedules": [wrong] * 7, "boundaries": [1, 2, 3, 4, 5, 6]}

    error = refused(run(schedule={"kind": "scale", "factor": 1.0, "schedule": chain}))

    assert len(error.problems) == MOST_PROBLEMS
    assert error.problems[0].param == "schedule.schedule.schedules[0].f0"
    assert error.more == 7 * 50 - MOST_PROBLEMS


@pytest.mark.parametrize(
    ("schedule", "param", "message"),
    [
        ({"kind": "values", "values": [0.1, -1.0, *[-1.0] * 1000]}, "values[1]", "must be at leas"),
        ({"kind": "multiplicative", "factors": ["x"] * 1000}, "factors[0]", "must be a number"),
    ],
)
def test_of_a_list_of_numbers_the_first_mistake_is_told(
    schedule: dict[str, Any], param: str, message: str
) -> None:
    (problem,) = refused(run(schedule=schedule)).problems

    assert problem.param == f"schedule.{param}"
    assert message in problem.message


def test_names_and_values_that_a_message_repeats_are_cut() -> None:
    error = refused(run(schedule={"kind": "cosine", "x" * 10_000: ["y" * 10_000] * 1000}))

    (problem,) = error.problems
    assert problem.param == "schedule." + "x" * (MAX_VALUE_LENGTH - 3) + "..."
    assert len(problem.message) < 1000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 10**6, "'" + "x" * 76 + "..."),
        (10**4000, "1" + "0" * 76 + "..."),
        (-(10**400), "-1" + "0" * 75 + "..."),
        ([[10**4000]], "a list of 1"),
        ({"a": [1] * 1000}, "an object"),
        ([1] * 40, "a list of 40"),
        ([[1], {"a": None}], "[[1], {'a': None}]"),
    ],
)
def test_a_value_is_shown_in_few_characters(value: object, text: str) -> None:
    assert short_repr(value) == text


def test_what_is_no_slip_of_the_pen_gets_no_suggestion() -> None:
    assert did_you_mean("weigth" * 100_000, ["weight"]) == ""
    assert did_you_mean("weigth", ["weight"]) == "; did you mean 'weight'?"


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
            "groups must have at most 1000 names and globs, all together, got 1101",
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
            "there must be at most 500 schedules, those that others are made of counted, got 506",
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
            "schedules must compute at most 2000000 steps each from the one before, all together, "
            "got 2700000; use precision float64",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)  # fmt: skip
def test_counts_are_bounded(changes: dict[str, Any], param: str, message: str) -> None:
    (problem,) = refused(run(**changes)).problems

    assert problem.param == param
    assert problem.message.startswith(message)


def test_groups_that_find_nothing_are_told_like_any_other_mistakes() -> None:
    """The first takes all, whatever comes after it."""
    decays = [{"preset": "layer_decay"}] * MAX_GROUPS

    error = refused(run(model=WIDE, optimizer={"kind": "adam", "groups": decays}))

    assert error.problems[0].param == "optimizer.groups[1].match"
    assert "match must find a parameter that no earlier group has" in error.problems[0].message


def test_as_many_groups_as_there_may_be_are_each_resolved_once() -> None:
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


def test_a_plan_of_a_run_that_is_very_long_is_a_sample_and_says_so() -> None:
    spec = RunSpec.parse(
        run(training={"steps": 5 * MOST_PLANNED}, schedule={"kind": "linear", "end": 0.0})
    )

    known = plan_schedule(spec.schedule, lr=0.1, total_steps=spec.total_steps, steps_per_epoch=1)

    assert (known.first, known.peak, known.peak_step) == (0.1, 0.1, 0)
    assert known.last == pytest.approx(0.1 / spec.total_steps)
    assert known.area == pytest.approx(0.05 * spec.total_steps, rel=1e-3)
    (warning,) = known.warnings
    assert "the numbers of lr are those of" in warning


def test_a_plan_tells_its_first_warnings_and_how_many_more_there_are() -> None:
    milestones = list(range(1000, 1100))
    spec = RunSpec.parse(run(schedule={"kind": "multi_step", "milestones": milestones}))

    known = plan_schedule(spec.schedule, lr=0.1, total_steps=20, steps_per_epoch=1)

    assert len(known.warnings) == MOST_WARNINGS + 1
    assert known.warnings[-1] == "and 80 more warnings"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": {"kind": "sgd", "lr": 1e308}}, "lr must be at most 3.40282e+38, the la"),
        ({"optimizer": {"kind": "adam", "eps": 1e39}}, "eps must be at most 3.40282e+38, the l"),
        (
            {"optimizer": {"kind": "sgd", "lr": 1e30, "groups": [{"match": "*", "lr_scale": 1e9}]}},
            "lr * lr_scale must be at most 3.40282e+38, the largest number of its precision, got "
            "1e+30 * 1000000000.0 = 1",
        ),
        (
            {"optimizer": {"kind": "adam", "clip": {"kind": "norm", "max": 1e300}}},
            "clip must be at most 3.40282e+38",
        ),
        (
            {"optimizer": {"kind": "sgd", "lr": 1e6}, "training": {"precision": "fp16_true"}},
            "lr must be at most 65504, the largest number of its precision, got 1000000.0",
        ),
        (
            {
                "optimizer": {"kind": "adagrad", "initial_accumulator_value": 3.4e38},
                "training": {"precision": "bf16_true"},
            },
            "initial_accumulator_value must be at most 3.38953e+38, the largest number",
        ),
    ],
)
def test_a_number_that_the_parameters_cannot_hold_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    training = {"steps": 20, **changes.get("training", {})}

    (problem,) = refused(run(**{**changes, "training": training})).problems

    assert problem.message.startswith(message)


def test_float64_holds_it() -> None:
    spec = run(optimizer={"kind": "sgd", "lr": 1e308}, training={"steps": 2, "precision": "fp64"})

    assert RunSpec.parse(spec).optimizer.hyperparameters()["lr"] == 1e308


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [
        ({"kind": "sgd", "lr": 1e30}, {"kind": "constant", "factor": 1e30}),
        ({"kind": "sgd", "lr": 1e30}, {"kind": "exponential", "rate": 1e3}),
        (
            {"kind": "sgd", "lr": 1e30, "groups": [{"match": "fc1*", "lr_scale": 1e7}]},
            {"kind": "scale", "factor": 1e3, "schedule": {"kind": "cosine"}},
        ),
    ],
)
def test_an_lr_that_its_schedule_makes_too_large_is_refused(
    optimizer: dict[str, Any], schedule: dict[str, Any]
) -> None:
    spec = RunSpec.parse(run(optimizer=optimizer, schedule=schedule))

    with pytest.raises(SpecError, match=r"schedule: lr must be at most 3\.40282.*at every step"):
        check_values(spec)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"kind": "sgd", "lr": 3e38, "weight_decay": 3e38},
        {"kind": "adamw", "lr": 1e30, "weight_decay": 1e30},
        {"kind": "adamax", "lr": MAX_FLOAT32},
        {"kind": "asgd", "alpha": 1e20},
        {"kind": "adafactor", "eps1": 1e38},
    ],
    ids=lambda value: str(value["kind"]),
)
def test_numbers_that_only_together_overflow_are_a_divergence(optimizer: dict[str, Any]) -> None:
    with pytest.raises(Diverged):
        list(train(start(optimizer=optimizer, schedule={"kind": "constant"}, steps=3)))


def test_a_clip_that_leaves_nothing_of_a_gradient_is_a_divergence() -> None:
    """Its norm is above 2 here, so that the factor is 0."""
    block = [{"kind": "batch_norm"}, {"kind": "linear", "out_features": 64}]
    ends = [{"kind": "batch_norm"}, {"kind": "linear", "out_features": 10}]
    model = {"kind": "sequential", "layers": [{"kind": "flatten"}, *block, *block, *ends]}
    optimizer = {"kind": "adam", "clip": {"kind": "global_norm", "max": 5e-324}}

    with pytest.raises(Diverged, match="division by zero"):
        list(train(start(model=model, optimizer=optimizer, schedule={"kind": "constant"}, steps=3)))


@pytest.mark.parametrize("kind", ["momentum", "nesterov"])
def test_a_momentum_that_float32_makes_0_of_is_none(kind: str) -> None:
    """Torch's kernel refuses a velocity where there is no momentum."""
    optimizer = {"kind": kind, "dialect": "paddle", "lr": 0.1, "momentum": 5e-324}

    run = start(optimizer=optimizer, schedule={"kind": "constant"}, steps=3)

    assert len(list(train(run))) > 3
    assert spec_of(optimizer=optimizer).optimizer.has_kernel() is False


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
}
"""What release 0.1.0 has accepted."""


@pytest.mark.parametrize("name", LARGE)
def test_what_was_accepted_without_the_limits_is_a_spec_still(name: str) -> None:
    data = run(**LARGE[name])
    refused(data)

    accepted = RunSpec.parse_accepted(data)

    assert accepted.groups()
    if name == "iterations":
        assert isinstance(accepted.optimizer, Lbfgs)
        assert (accepted.optimizer.max_iter, accepted.optimizer.history_size) == (5000, 2000)


def test_what_is_wrong_in_other_ways_is_wrong_whenever_it_is_parsed() -> None:
    with pytest.raises(SpecError, match="unknown field"):
        RunSpec.parse_accepted(run(lrr=1))
    with pytest.raises(SpecError, match="lr must be"):
        RunSpec.parse_accepted(run(optimizer={"kind": "adam", "lr": -1}))
