"""Small configurations with what the framework itself computed: tests/trials/convert."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optcore.optimizers.make import make_optimizer
from optcore.recipes.convert import convert_file
from optcore.schedules.make import make_schedule

TRIALS = Path(__file__).parents[2] / "trials" / "convert"
CONVERTED = sorted(path.stem for path in TRIALS.glob("*.json"))


def read(name: str) -> dict[str, Any]:
    return json.loads((TRIALS / f"{name}.json").read_text())  # type: ignore[no-any-return]


def holds(expected: dict[str, Any], path: Path) -> bool:
    """Return whether the conversion of the file at *path* is what *expected* says."""
    result = convert_file(path)
    if expected.get("exit") == "not 0":
        return any(expected.get("stderr_mentions", "") in each for each in result.problems)
    fields = {name: value for name, value in expected.items() if "." in name}
    return not result.problems and all(value_of(result.job, n) == v for n, v in fields.items())


def of_kind(what: str) -> list[str]:
    return [name for name in CONVERTED if read(name)["kind"].endswith(f"+{what}")]


def lr_of(job: dict[str, Any], trial: dict[str, Any]) -> Any:
    schedule = make_schedule(
        job["schedule"],
        lr=job["optimizer"]["lr"],
        total_steps=trial["total_steps"],
        steps_per_epoch=trial["steps_per_epoch"],
    )
    return schedule(np.arange(trial["total_steps"]))


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


@pytest.mark.parametrize("name", of_kind("schedule"))
def test_its_schedule_is_the_frameworks(name: str) -> None:
    trial = read(name)
    result = convert_file(TRIALS / trial["input"])
    assert result.problems == []

    expected = trial["expected"]
    np.testing.assert_allclose(
        lr_of(result.job, trial), expected["lr"], rtol=expected["rtol"], atol=expected["atol"]
    )


@pytest.mark.parametrize("name", of_kind("optimizer"))
def test_its_optimizer_is_the_frameworks(name: str) -> None:
    trial = read(name)
    result = convert_file(TRIALS / trial["input"])
    assert result.problems == []
    params = {
        each: torch.tensor(given["start"]).reshape(given["shape"]).requires_grad_()
        for each, given in trial["params"].items()
    }
    optimizer = make_optimizer(params.items(), result.job["optimizer"])

    expected = trial["expected"]
    for lr, grads, after in zip(
        lr_of(result.job, trial), trial["grads"], expected["params"], strict=True
    ):
        for group in optimizer.param_groups:
            group["lr"] = float(lr)
        for each, param in params.items():
            param.grad = torch.tensor(grads[each]).reshape(param.shape)
        optimizer.step()
        for each, param in params.items():
            np.testing.assert_allclose(
                param.detach().double().numpy().ravel(),
                after[each],
                rtol=expected["rtol"],
                atol=expected["atol"],
            )
