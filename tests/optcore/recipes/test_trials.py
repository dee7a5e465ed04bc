"""Small configurations with the lr that the framework itself computed: tests/golden/trials."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optcore.recipes.convert import convert_file
from optcore.schedules.make import make_schedule

TRIALS = Path(__file__).parents[2] / "golden" / "trials"
CONVERTED = sorted(path.stem for path in TRIALS.glob("convert-*.json"))


def read(name: str) -> dict[str, Any]:
    return json.loads((TRIALS / f"{name}.json").read_text())  # type: ignore[no-any-return]


def holds(expected: dict[str, Any], path: Path) -> bool:
    """Return whether the conversion of the file at *path* is what *expected* says."""
    result = convert_file(path)
    if expected.get("exit") == "not 0":
        return any(expected.get("stderr_mentions", "") in each for each in result.problems)
    fields = {name: value for name, value in expected.items() if "." in name}
    return not result.problems and all(value_of(result.job, n) == v for n, v in fields.items())


def value_of(job: dict[str, Any], field: str) -> Any:
    value: Any = job
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


@pytest.mark.parametrize("name", CONVERTED)
def test_a_file_is_converted_or_refused_as_expected(name: str) -> None:
    trial = read(name)
    expected, path = trial["expected"], TRIALS / trial["input"]

    assert any(holds(each, path) for each in expected.get("any_of", [expected]))
    if "never" in expected:
        assert not holds(expected["never"], path)


@pytest.mark.parametrize("name", [n for n in CONVERTED if read(n)["kind"].endswith("schedule")])
def test_its_schedule_is_the_frameworks(name: str) -> None:
    trial = read(name)
    result = convert_file(TRIALS / trial["input"])
    assert result.problems == []

    schedule = make_schedule(
        result.job["schedule"],
        lr=result.job["optimizer"]["lr"],
        total_steps=trial["total_steps"],
        steps_per_epoch=trial["steps_per_epoch"],
    )

    expected = trial["expected"]
    np.testing.assert_allclose(
        schedule(np.arange(len(expected["lr"]))),
        expected["lr"],
        rtol=expected["rtol"],
        atol=expected["atol"],
    )
