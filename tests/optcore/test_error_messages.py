"""What SpecError says of few mistakes and of very many."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec import base
from optcore.spec.errors import MAX_VALUE_LENGTH, MOST_PROBLEMS, did_you_mean, short_repr
from tests.support.counting import calls_counted
from tests.support.optcore.runs.run_specs import refused, run


def test_the_first_mistakes_are_listed_and_the_others_counted() -> None:
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


def test_only_the_mistakes_that_are_listed_are_explained() -> None:
    """However many layers have them."""
    layers = [{"kind": "relu", **{f"f{i}": 1 for i in range(30)}} for _ in range(200)]

    with calls_counted({"explained": base._explained}) as counted:
        error = refused(run(model={"kind": "sequential", "layers": layers}))

    assert [p.param for p in error.problems] == [f"model.layers[0].f{i}" for i in range(20)]
    assert error.more == 200 * 30 - MOST_PROBLEMS
    # By the layer, the model, and the run.
    assert counted["explained"] == 3 * MOST_PROBLEMS


def test_mistakes_of_a_group_are_told_after_those_of_many_layers() -> None:
    """The optimizer's class parses a group while another spec is parsed."""
    layers = [{"kind": "relu", "f": 1}] * 200
    groups = [{"match": "*", "lr": -1}]

    error = refused(
        run(
            model={"kind": "sequential", "layers": layers},
            optimizer={"kind": "adam", "groups": groups},
        )
    )

    assert len(error.problems) == MOST_PROBLEMS
    assert error.more == 201 - MOST_PROBLEMS


@pytest.mark.parametrize(
    ("schedule", "param", "message"),
    [
        ({"kind": "values", "values": [0.1, -1.0, *[-1.0] * 1000]}, "values[1]", "must be at leas"),
        ({"kind": "multiplicative", "factors": ["x"] * 1000}, "factors[0]", "must be a number"),
        ({"kind": "multi_step", "milestones": ["x"] * 999}, "milestones[0]", "must be a whole"),
        (
            {"kind": "piecewise", "boundaries": [5], "values": ["x"] * 999},
            "values[0]",
            "must be a number",
        ),
    ],
)
def test_only_the_first_mistake_in_a_list_of_numbers_is_listed(
    schedule: dict[str, Any], param: str, message: str
) -> None:
    (problem,) = refused(run(schedule=schedule)).problems

    assert problem.param == f"schedule.{param}"
    assert message in problem.message


def test_names_and_values_in_a_message_are_shortened() -> None:
    error = refused(run(schedule={"kind": "cosine", "x" * 10_000: ["y" * 10_000] * 1000}))

    (problem,) = error.problems
    assert problem.param == "schedule." + "x" * (MAX_VALUE_LENGTH - 3) + "..."
    assert len(problem.message) < 1000


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"frozen": [5]}, "training.frozen[0]: frozen[0] must be a string, got 5"),
        (
            {"columns": ["grad_nrm"]},
            "training.columns[0]: columns[0] must be one of grad_norm, update_ratio, loss_scale, "
            "x0, x1, examples_per_s, memory_mb, got 'grad_nrm'; did you mean 'grad_norm'?",
        ),
    ],
)
def test_an_entry_of_a_list_is_named_with_its_place(fields: dict[str, Any], problem: str) -> None:
    assert str(refused(run(training={"steps": 5, **fields}))) == problem


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
def test_short_repr(value: object, text: str) -> None:
    assert short_repr(value) == text


def test_a_suggestion_is_made_only_for_similar_names() -> None:
    assert did_you_mean("weigth" * 100_000, ["weight"]) == ""
    assert did_you_mean("weigth", ["weight"]) == "; did you mean 'weight'?"
