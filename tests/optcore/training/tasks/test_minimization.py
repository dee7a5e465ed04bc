"""Functions to minimize: values, gradients, noise, and what is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import rosen, rosen_der
from torch import Tensor

from optcore.data.batches import Batches
from optcore.data.load import load
from optcore.data.noise import Noise
from optcore.data.objectives import function_of
from optcore.schedules.numerics.random import normals
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.datasets.objectives import ObjectiveSpec
from optcore.spec.former.runs import is_former
from optcore.spec.run import RunSpec
from optcore.spec.tasks.tasks import Objective
from tests.support.optcore.runs.functions import spec_of, start
from tests.support.optcore.runs.small import NOWHERE, column, evaluations, steps

FLOAT64 = {"precision": "fp64"}


def quadratic(x: np.ndarray[Any, Any], condition: float) -> float:
    n = len(x)
    a = [condition ** (i / (n - 1)) if n > 1 else condition for i in range(n)]
    return float(sum(a[i] * x[i] ** 2 / 2 for i in range(n)))


def valley(x: np.ndarray[Any, Any], condition: float) -> float:
    return float(math.sqrt(1 + x[0] ** 2) - 1 + condition * (x[1:] ** 2).sum() / 2)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_values_are_those_of_the_formulas(size: int) -> None:
    points = 3 * torch.randn(9, size, generator=torch.Generator().manual_seed(1)).double()
    rows = points.numpy()

    for function, expected in (
        (Objective("quadratic", size, 40.0), [quadratic(row, 40.0) for row in rows]),
        (Objective("rosenbrock", size), [rosen(row) for row in rows]),
        (Objective("valley", size, 40.0), [valley(row, 40.0) for row in rows]),
    ):
        found = function_of(function)(points)

        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
        least = torch.full((1, size), function.minimum, dtype=torch.float64)
        assert function_of(function)(least).item() == 0


def test_the_curvature_of_one_dimension_is_the_condition() -> None:
    x = torch.tensor([[3.0]])

    assert function_of(Objective("quadratic", 1, 8.0))(x).item() == 36
    assert Objective("quadratic", 3, 100.0).curvatures == [1, 10, 100]


@pytest.mark.parametrize("precision", ["fp64", "fp32"])
def test_the_loss_of_a_step_is_the_value_at_its_point(precision: str) -> None:
    """In float64 to its last digits, from a start that float32 cannot hold."""
    run = start(
        "rosenbrock",
        {"dimensions": 3, "batch_size": 7},
        precision=precision,
        columns=["x0", "x1"],
        steps=20,
    )
    x, lr = np.array([-1.2, 1.0, -1.2]), 1e-3
    rel = 1e-13 if precision == "fp64" else 1e-4

    reports = steps(run)

    for report, x0, x1 in zip(
        reports, column(run, reports, "x0"), column(run, reports, "x1"), strict=True
    ):
        assert report.loss == pytest.approx(rosen(x), rel=rel)
        assert [x0, x1] == pytest.approx(x[:2], rel=rel)
        x = x - lr * rosen_der(x)
    assert run.model_tensors()["point.x"].tolist() == pytest.approx(x, rel=rel)


def test_a_large_batch_without_noise_has_the_bits_of_one_example() -> None:
    one, many = (start("valley", {"noise": 0, "batch_size": n}, steps=1) for n in (1, 1000))

    assert steps(one)[0].loss == steps(many)[0].loss


def test_16_bits_hold_the_gradient_of_a_large_batch() -> None:
    """0.001 / 65,536 is 0 in float16."""
    fields = {"condition": 1.0, "batch_size": 65_536, "examples": 65_536}
    run = start(
        "quadratic",
        fields,
        model={"kind": "point", "start": 0.001},
        precision="fp16_true",
        columns=["grad_norm"],
        steps=1,
    )

    (norm,) = column(run, steps(run), "grad_norm")

    assert norm == pytest.approx(0.001 * math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("kind", ["quadratic", "rosenbrock", "valley"])
def test_gradients_are_those_of_autograd_on_the_formula(kind: str) -> None:
    run = start(kind, {"dimensions": 4, "noise": 0}, precision="fp64", steps=1)
    before = run.model_tensors()["point.x"].clone().requires_grad_()
    a, b, c, d = before
    formulas: dict[str, Callable[[], Tensor]] = {
        "quadratic": lambda: (
            (a**2 + 100 ** (1 / 3) * b**2 + 100 ** (2 / 3) * c**2 + 100 * d**2) / 2
        ),
        "rosenbrock": lambda: sum(
            (100 * (q - p**2) ** 2 + (1 - p) ** 2 for p, q in ((a, b), (b, c), (c, d))),
            torch.zeros((), dtype=torch.float64),
        ),
        "valley": lambda: (1 + a**2).sqrt() - 1 + 50 * (b**2 + c**2 + d**2),
    }
    value = formulas[kind]()
    value.backward()

    (report,) = steps(run)

    assert before.grad is not None
    assert report.loss == pytest.approx(value.item(), rel=1e-14)
    moved = (before.detach() - run.model_tensors()["point.x"]) / 1e-3
    torch.testing.assert_close(moved, before.grad, rtol=1e-10, atol=1e-10)


def test_noise_is_added_to_the_gradient_and_vanishes_at_the_minimum() -> None:
    fields = {"noise": 2.0, "batch_size": 8, "dimensions": 3}
    run = start("quadratic", fields, precision="fp64", steps=1, model={"kind": "point", "start": 3})
    noise = torch.as_tensor(run.dataset.train.at(run.batches.order[:8]).targets).double()  # type: ignore[index]
    before = run.model_tensors()["point.x"].clone()

    (report,) = steps(run)

    value = quadratic(before.numpy(), 100.0)
    assert report.loss == pytest.approx(value + (noise @ before).mean().item(), rel=1e-12)
    gradient = before * torch.tensor([1.0, 10.0, 100.0]) + noise.mean(0)
    moved = before - run.model_tensors()["point.x"]
    torch.testing.assert_close(moved, 1e-3 * gradient, rtol=1e-9, atol=1e-12)
    still = start("rosenbrock", {"noise": 5.0}, steps=1, model={"kind": "point", "start": 1})
    assert steps(still)[0].loss == 0


def splitmix64(key: int, position: int) -> int:
    """Return output number *position* of SplitMix64 with seed *key*, in Python's integers."""
    z = (key + (position + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def box_muller(bits: int) -> float:
    radius = math.sqrt(-2 * math.log(((bits >> 32) + 1) / 2**32))
    return radius * math.cos(2 * math.pi * (bits % 2**32) / 2**32)


def test_noise_depends_on_seed_epoch_and_number_alone() -> None:
    noise, longer = (Noise(3, 0.5, count, torch.device("cpu")) for count in (40, 90))

    def of(seed: int, epoch: int, *, shuffle: bool = True) -> list[list[float]]:
        order = noise.order(seed=seed, epoch=epoch, shuffle=shuffle)
        rows: list[list[float]] = noise.at(order).inputs.tolist()
        return rows

    first = of(3, 2)

    keys = np.random.Philox(key=[3, 2]).random_raw(40)
    by_hand = [[0.5 * box_muller(splitmix64(int(key), i)) for i in range(3)] for key in keys]
    np.testing.assert_allclose(first, by_hand, rtol=1e-6)
    assert longer.at(longer.order(seed=3, epoch=2, shuffle=True)).inputs[:40].tolist() == first
    assert noise.at(noise.order(seed=3, epoch=2, shuffle=True)[5:7]).inputs.tolist() == first[5:7]
    assert first not in (of(3, 1), of(4, 2))
    assert of(3, 2, shuffle=False) == of(3, 0) == of(3, 0, shuffle=False)


def test_noise_is_normal_with_its_deviation() -> None:
    keys = np.random.Philox(key=7).random_raw(20_000).astype(np.uint64)

    found = normals(keys, 5)

    assert np.abs(found.mean(0)).max() < 0.03
    assert np.abs(np.cov(found.T) - np.eye(5)).max() < 0.04
    assert (np.abs(found) < 1).mean() == pytest.approx(math.erf(math.sqrt(0.5)), abs=0.006)


def test_a_larger_batch_averages_the_noise() -> None:
    def spread(batch_size: int) -> float:
        noise = Noise(2, 3.0, 6400, torch.device("cpu"))
        batches = Batches(noise, batch_size=batch_size, shuffle=True, seed=1, dtype=torch.float32)
        means = [batches.next()[1].mean(0) for _ in range(6400 // batch_size)]
        return torch.stack(means).std().item()

    assert spread(1) == pytest.approx(3, rel=0.05)
    assert spread(64) == pytest.approx(3 / 8, rel=0.15)


def test_evaluations_have_no_noise_and_the_distance_to_the_minimum() -> None:
    run = start("rosenbrock", {"noise": 4.0}, precision="fp64", evaluate_every=2, steps=4)

    found = evaluations(run)

    x = run.model_tensors()["point.x"].numpy()
    assert [each.step for each in found] == [2, 4]
    assert found[-1].examples == {"val": 1, "test": 1}
    for split in ("val", "test"):
        assert found[-1].metrics[f"{split}_loss"] == pytest.approx(rosen(x), rel=1e-14)
        away = found[-1].metrics[f"{split}_distance"]
        assert away == pytest.approx(np.linalg.norm(x - 1), rel=1e-14)


def test_the_start_is_that_of_the_function_or_of_the_job() -> None:
    def x(kind: str, **model: Any) -> list[float]:
        run = start(kind, {"dimensions": 3}, model={"kind": "point", **model}, **FLOAT64)
        found: list[float] = run.model_tensors()["point.x"].tolist()
        return found

    assert x("quadratic") == [1, 1, 1]
    assert x("rosenbrock") == [-1.2, 1, -1.2]
    assert x("valley") == [10, 1, 1]
    assert x("valley", start=0.1) == [0.1, 0.1, 0.1]
    assert x("valley", start=[0.1, -7, 2]) == [0.1, -7, 2]


def test_layers_after_the_point_are_trained_with_it() -> None:
    """A function of a product of matrices: more parameters than dimensions."""
    layers = [
        {"kind": "point", "init": {"x": {"kind": "normal"}}},
        {"kind": "linear", "out_features": 4, "bias": False},
    ]
    run = start(
        "quadratic",
        {"dimensions": 4},
        model={"kind": "sequential", "layers": layers},
        optimizer={"kind": "adam", "lr": 0.01},
        steps=200,
        seed=5,
    )
    x = run.model_tensors()["0.x"].clone()

    reports = steps(run)

    assert run.spec.num_parameters == 4 + 16
    assert len(set(x.tolist())) == 4
    assert reports[-1].loss < reports[0].loss / 100


def test_nothing_here_is_a_run_of_0_2_0() -> None:
    assert not is_former(spec_of("quadratic"))


@pytest.mark.parametrize("kind", ["quadratic", "rosenbrock", "valley"])
def test_the_counts_are_known_before_the_examples_are_made(kind: str) -> None:
    spec = DATASETS[kind].parse({"kind": kind, "examples": 30, "dimensions": 5})

    found = load(spec, NOWHERE)  # type: ignore[arg-type]

    assert (len(found.train), len(found.test)) == (30, 1)
    assert found.train.inputs.shape == (30, *spec.shape)


PAGE = (Path(__file__).parents[4] / "docs" / "functions.md").read_text()
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


def test_the_page_has_every_function_and_its_examples_are_accepted() -> None:
    job, model = EXAMPLES

    for kind, each in DATASETS.items():
        if issubclass(each, ObjectiveSpec):
            assert f"| `{kind}` |" in PAGE
            assert all(
                f"`{name}`" in PAGE for name in each.model_fields.keys() - {"kind", "validation"}
            )
    RunSpec.parse(job)
    assert spec_of("valley", model=model).num_parameters == 6
