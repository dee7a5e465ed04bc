"""A metric from a package that an operator installs is a metric like the others."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.states import State
from optserve.local.stack import Stack
from tests.support.checkout import ROOT
from tests.support.service.commands import optserve
from tests.support.service.jobs import finished
from tests.support.service.stacks import stack_with

NAME = "median_absolute_error"
CODE = '''
import torch
from optcore.metrics.base import Metric


class MedianAbsoluteError(Metric):
    """
    The median of |output - target| over all numbers.

    References:
        sklearn.metrics.median_absolute_error.
    """

    NAME = "median_absolute_error"
    TASKS = frozenset({"regression"})
    HIGHER_IS_BETTER = False

    def __init__(self, subject):
        super().__init__(subject)
        self._errors = []

    def add(self, batch):
        self._errors.append((batch.outputs.double() - batch.targets.double()).abs().flatten())

    def value(self):
        return float(torch.cat(self._errors).quantile(0.5))
'''
JOB = {
    "name": "linear",
    "model": {"kind": "mlp", "hidden": []},
    "dataset": {"kind": "diabetes", "validation": 100, "batch_size": 50},
    "optimizer": {"kind": "adam", "lr": 0.1},
    "training": {
        "steps": 60,
        "device": "cpu",
        "evaluate_every": 20,
        "loss": {"kind": "mse"},
        "metrics": [NAME],
        "keep_best": f"val_{NAME}",
        "early_stopping": {"metric": f"val_{NAME}", "patience": 10},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution that has one metric, in one file."""
    found = tmp_path_factory.mktemp("installed")
    (found / "operators_metrics.py").write_text(CODE)
    info = found / "operators_metrics-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: operators-metrics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[optserve.metrics]\n{NAME} = operators_metrics:MedianAbsoluteError\n"
    )
    return found


@pytest.fixture(scope="module")
def running(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack in whose environment the distribution is installed."""
    path = f"{folder}:{ROOT}"
    with stack_with(tmp_path_factory.mktemp("stack"), PYTHONPATH=path) as started:
        yield started


@pytest.fixture(scope="module")
def job(running: Stack) -> Job:
    """A finished job."""
    with Client(running.url) as client:
        found = finished(client, client.submit(JOB).id)
    assert found.state is State.SUCCEEDED, found.detail
    return found


def test_it_is_in_events_result_and_choice(running: Stack, job: Job) -> None:
    with Client(running.url) as client:
        events = [e.data for e in client.events(job.id) if e.kind == "evaluated"]
        pages = [each.metrics for each in client.evaluations(job.id)]

    assert [event["step"] for event in events] == [20, 40, 60]
    values = [event[f"val_{NAME}"] for event in events]
    assert all(math.isfinite(value) and value > 0 for value in values)
    assert job.best is not None
    assert (job.best.metric, job.best.value) == (f"val_{NAME}", min(values))
    assert job.result is not None
    assert job.result.metrics[f"val_{NAME}"] == values[-1]
    assert job.result.metrics[f"test_{NAME}"] == events[-1][f"test_{NAME}"]
    assert [page[f"val_{NAME}"] for page in pages] == values


def test_it_is_in_chart_comparison_and_catalogue(running: Stack, job: Job) -> None:
    with Client(running.url) as client:
        curve = client.chart(job.id).evaluations[f"val_{NAME}"]
        (compared,) = client.compare([job.id], column=f"val_{NAME}").data
        (metric,) = (each for each in client.evaluation_metrics() if each.name == NAME)

    assert (curve.steps, curve.bucket, curve.higher_is_better) == ([20, 40, 60], 1, False)
    assert (compared.x, compared.values) == (curve.steps, curve.values)
    assert metric.summary == "The median of |output - target| over all numbers."
    assert (metric.tasks, metric.higher_is_better) == (["regression"], False)
    assert metric.chooses == [f"val_{NAME}", f"ema_val_{NAME}"]


def test_the_command_shows_it_without_having_the_package(running: Stack, job: Job) -> None:
    here = {"PYTHONPATH": str(ROOT)}

    shown = optserve("show", job.id, home=running.home, variables=here)
    compared = optserve(
        "compare", job.id, "--column", f"val_{NAME}", home=running.home, variables=here
    )

    assert shown.returncode == 0, shown.stderr
    assert job.result is not None
    assert job.best is not None
    last = f"{job.result.metrics[f'val_{NAME}']:.6g}"
    best = f"{job.best.value:.6g}"
    assert f"val_{NAME}\t{last}\t60\t{best}\t{job.best.step}\n" in shown.stdout
    assert "loss, o val_loss" in shown.stdout
    assert compared.returncode == 0, compared.stderr
    assert f"val_{NAME} by step" in compared.stdout
