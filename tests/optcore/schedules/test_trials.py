"""Specs as people write them, against the lr that the framework itself computed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optcore
from optcore.plan.schedule import plan_schedule
from tests.support.optcore.schedule_specs import fixed

FILES = sorted((Path(__file__).parents[2] / "trials").glob("*.json"))
CASES = [case for path in FILES for case in json.loads(path.read_text())]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_lr_is_what_the_framework_computed(case: dict[str, Any]) -> None:
    schedule = optcore.make_schedule(case["spec"], **run_of(case))

    steps = [int(t) for t in case["lr_at"]]
    expected = list(case["lr_at"].values())
    # Of float32 one rounding may differ, as in the recorded cases.
    single = "float32" in case["source"]
    rtol, atol = (2e-7, 2.0**-24 * max(expected)) if single else (1e-12, 1e-15)
    np.testing.assert_allclose(schedule(steps), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_the_plan_warns_of_what_is_odd(case: dict[str, Any]) -> None:
    warnings = plan_schedule(fixed(case["spec"]), **run_of(case)).warnings

    if "warns" in case:
        assert any(text.startswith(case["warns"]) for text in warnings), warnings
    else:
        assert not any("rounded" in text or "over before" in text for text in warnings)


def test_there_are_cases_of_every_kind() -> None:
    assert {path.stem for path in FILES} >= {"durations", "edges", "optax", "transformers"}
    assert len({case["id"] for case in CASES}) == len(CASES)


def run_of(case: dict[str, Any]) -> dict[str, Any]:
    return {name: case[name] for name in ("lr", "total_steps", "steps_per_epoch")}
