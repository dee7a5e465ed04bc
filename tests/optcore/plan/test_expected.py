"""How long a job is expected to take, from the durations of jobs like it."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from optcore.plan.expected import Duration, expected_time
from optcore.plan.likeness import likeness
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run

SECONDS = st.floats(0.001, 1e6)


def test_fewer_than_three_jobs_tell_nothing() -> None:
    assert expected_time(100, [Duration(1.0, 100)] * 2) is None


def test_the_range_is_around_the_median_for_the_number_of_steps() -> None:
    jobs = [Duration(1.0, 100), Duration(2.2, 200), Duration(1.05, 100)]

    found = expected_time(200, jobs)

    assert found is not None
    assert (found.lowest_s, found.highest_s) == pytest.approx((2.1 / 1.25, 2.1 * 1.25))
    assert found.jobs == 3


def test_a_job_of_another_length_does_not_count() -> None:
    """Its set-up would count as steps."""
    assert expected_time(10_000, [Duration(1.0, 100)] * 5) is None
    assert expected_time(100, [Duration(1.0, 10_000)] * 5) is None


@given(st.lists(SECONDS, min_size=3, max_size=20))
@example([0.05, 0.143, 0.3])
def test_the_upper_end_is_at_most_twice_the_lower(seconds: list[float]) -> None:
    found = expected_time(100, [Duration(each, 100) for each in seconds])

    assert found is not None
    assert found.highest_s <= 2 * found.lowest_s


@pytest.mark.parametrize(
    ("changes", "alike"),
    [
        ({"training": {"steps": 500, "seed": 3}}, True),
        ({"optimizer": {"kind": "adam", "lr": 0.5, "beta1": 0.5}}, True),
        ({"schedule": {"kind": "cosine"}}, True),
        ({"optimizer": {"kind": "sgd"}}, False),
        ({"optimizer": {"kind": "adam", "groups": [{"match": "*.bias"}]}}, False),
        ({"model": {"kind": "mlp", "hidden": [7]}}, False),
        ({"dataset": {"kind": "digits", "batch_size": 7}}, False),
        ({"training": {"steps": 20, "precision": "bf16"}}, False),
        ({"training": {"steps": 20, "evaluate_every": 5}}, False),
        ({"training": {"steps": 20, "columns": ["grad_norm"]}}, False),
    ],
)
def test_jobs_are_alike_if_their_steps_take_as_long(
    changes: dict[str, object], alike: bool
) -> None:
    like = likeness(RunSpec.parse(run(**changes))) == likeness(RunSpec.parse(run()))

    assert like is alike
