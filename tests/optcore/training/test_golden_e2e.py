"""The network on MNIST against the losses Paddle had, from the same weights, in the same order."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optcore.spec.run import RunSpec
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.goldens import GOLDEN_DIR, NotYet, optimizer_spec

E2E = GOLDEN_DIR / "e2e"


def cases() -> list[Any]:
    if not (E2E / "e2e_mnist.json").is_file():
        return []
    found = []
    for case in json.loads((E2E / "e2e_mnist.json").read_text())["cases"]:
        try:
            found.append(pytest.param(case, optimizer_spec("paddle", case), id=case["id"]))
        except NotYet:
            continue
    return found


@pytest.mark.long
@pytest.mark.parametrize("steps", [30, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("case", "optimizer"), cases())
def test_the_losses_in_float64_are_paddles(
    mnist: Path, case: dict[str, Any], optimizer: dict[str, Any], steps: int
) -> None:
    losses = train_as(case, optimizer, mnist, precision="fp64", steps=steps)

    assert len(losses) == steps
    np.testing.assert_allclose(losses, case["loss_f64_first100"][:steps], rtol=1e-9)


@pytest.mark.parametrize(("case", "optimizer"), cases())
def test_the_first_losses_in_float32_are_paddles(
    mnist: Path, case: dict[str, Any], optimizer: dict[str, Any]
) -> None:
    """Only the first: float32 is chaotic, Paddle itself differs from Paddle after 100 steps."""
    losses = train_as(case, optimizer, mnist, precision="fp32", steps=20)

    np.testing.assert_allclose(losses, case["fused_f32_first100"][:20], rtol=1e-5)


def train_as(
    case: dict[str, Any], optimizer: dict[str, Any], data_dir: Path, *, precision: str, steps: int
) -> list[float]:
    spec = RunSpec.parse(
        {
            "model": {"kind": "mnist_cnn"},
            "dataset": {"kind": "mnist", "batch_size": case["batch"], "shuffle": False},
            "optimizer": optimizer,
            "training": {"steps": steps, "precision": precision, "evaluate_every": None},
        }
    )
    run = Run.start(spec, data_dir=data_dir)
    run.model.load_state_dict(initial_weights(case["init"], run.dtype))
    run.batches.order = order_of(case)

    reports = islice(train(run), steps)  # without the evaluation at the end
    return [report.loss for report in reports if isinstance(report, StepReport)]


def initial_weights(name: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    with np.load(E2E / name) as arrays:
        weights = {key: torch.from_numpy(arrays[key]).to(dtype) for key in arrays.files}
    weights["fc.weight"] = weights["fc.weight"].T  # stored as (in, out)
    return weights


def order_of(case: dict[str, Any]) -> torch.Tensor | None:
    """Return the order of the examples: None for that of the files, else the batches reversed."""
    if case["order"] == "forward":
        return None
    return torch.arange(60_000).reshape(-1, case["batch"]).flip(0).reshape(-1)
