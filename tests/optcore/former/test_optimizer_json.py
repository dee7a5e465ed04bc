"""The JSON of runs that release 0.2.0 could say is what it was there: its checkpoints still fit."""

import json
from pathlib import Path
from typing import Any

import pytest

from optcore.spec.former.translation import translated
from optcore.spec.run import RunSpec

FILE = Path(__file__).parents[2] / "golden" / "run_json_0_2_0.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text())
"""A run with each optimizer in each of its dialects, as 0.2.0 stored it."""


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: "-".join(map(str, case["optimizer"].values()))
)
def test_the_json_of_an_old_run_is_that_of_0_2_0(case: dict[str, Any]) -> None:
    stored = translated(case["spec"])

    assert RunSpec.parse(stored).model_dump(mode="json") == stored
