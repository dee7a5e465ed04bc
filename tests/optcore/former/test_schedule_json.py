"""The JSON of specs that release 0.2.0 could say is what it was there, and so is their digest."""

import json
from pathlib import Path
from typing import Any

import pytest

from optcore.schedules.make import parse_schedule
from optcore.spec.former.runs import FORMER_SCHEDULES
from optcore.spec.former.translation import former_rules

FILE = Path(__file__).parents[2] / "golden" / "schedule_json_0_2_0.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text())
"""Specs with what 0.2.0 made of them: each schedule's example, alone, with a warmup, and in each
dialect."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["spec"]["kind"]))
def test_the_json_of_an_old_spec_is_that_of_0_2_0(case: dict[str, Any]) -> None:
    with former_rules():
        spec = parse_schedule(case["spec"])

    assert spec.model_dump(mode="json") == case["json"]


def test_every_schedule_is_among_them() -> None:
    assert {case["spec"]["kind"] for case in CASES} == FORMER_SCHEDULES


@pytest.mark.parametrize(
    "given",
    [
        {"num_cycles": 1.5},
        {"k_decay": 2.0},
        {"dialect": "timm"},
        {"warmup": {"length": 5, "start_fraction": 0.1}},
    ],
    ids=str,
)
def test_a_later_field_that_is_given_is_in_the_json(given: dict[str, Any]) -> None:
    spec = parse_schedule({"kind": "cosine", **given})

    dumped = spec.model_dump(mode="json")

    assert parse_schedule(dumped) == spec
    (name,) = given
    assert name in dumped
