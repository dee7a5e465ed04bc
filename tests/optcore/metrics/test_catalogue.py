"""The list of metrics, and what is refused in those of installed packages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from optcore.metrics.base import Metric
from optcore.metrics.catalogue import metrics, metrics_of
from optcore.packages.check import missing
from optcore.packages.entry_points import package_of, problems
from optcore.spec.run import RunSpec
from optcore.spec.tasks.tasks import TASKS
from tests.support.optcore.packages import forget, install

BASE = "from optcore.metrics.base import Mean\n"
METRIC = "class Own(Mean):\n    NAME = {name!r}\n    TASKS = frozenset({{'classification'}})\n"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The list is read once in a process."""
    forget(monkeypatch)
    metrics.cache_clear()
    yield
    metrics.cache_clear()


def installed(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install a distribution with the metric ``Own``; return the name of its module."""
    module = f"operators_{abs(hash(code))}"
    points = {"optserve.metrics": {"own": f"{module}:Own"}}
    install(folder, {f"{module}.py": BASE + code}, entry_points=points)
    monkeypatch.syspath_prepend(str(folder))
    return module


def test_the_loss_comes_first_and_every_task_has_it() -> None:
    assert next(iter(metrics())) == "loss"
    for task in TASKS:
        assert "loss" in metrics_of(task)


def test_a_metric_of_a_package_is_measured_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would join runs that have begun without it."""
    installed(tmp_path, METRIC.format(name="own"), monkeypatch)

    assert metrics()["own"].ON_REQUEST
    assert str(package_of(metrics()["own"])) == "operators 1.0"
    assert "own" in metrics_of("classification")
    assert "own" not in metrics_of("regression")


def test_a_run_needs_the_packages_of_all_metrics_that_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metric that is measured without a request may also stop the run."""
    code = METRIC.format(name="own") + "    ON_REQUEST = False\n"
    installed(tmp_path, code, monkeypatch)
    stopping = {"patience": 1, "metric": "val_own"}

    run = RunSpec.parse(
        {
            "model": {"kind": "mlp"},
            "dataset": {"kind": "digits", "validation": 0.2},
            "optimizer": {"kind": "sgd"},
            "training": {"steps": 1, "evaluate_every": 1, "early_stopping": stopping},
        }
    )

    assert run.packages == {"operators": "1.0"}


def test_a_package_of_metrics_alone_is_found_before_any_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trainer asks for the packages of a job before it reads the job."""
    installed(tmp_path, METRIC.format(name="own"), monkeypatch)

    assert missing({"operators": "1.0"}) == []


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (METRIC.format(name="my metric/é"), "must match [a-z][a-z0-9_]{0,63}, got 'my metric/é'"),
        (
            "class Own(Mean):\n    TASKS = frozenset()\n",
            "must match [a-z][a-z0-9_]{0,63}, got None",
        ),
        (
            METRIC.format(name="loss"),
            "NAME must not be the name of optcore.metrics.loss.MeanLoss, got",
        ),
        ("Own = 3\n", "must be a class derived from optcore.metrics.base.Metric, got 3"),
        ("import nowhere\n", "No module named 'nowhere'"),
    ],
)
def test_what_is_no_metric_is_left_out_and_named(
    code: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"{installed(tmp_path, code, monkeypatch)}:Own"

    assert "own" not in metrics()
    (problem,) = problems()
    assert problem.startswith(f"operators 1.0: entry point own = {own} of optserve.metrics: ")
    assert text in problem


@pytest.mark.parametrize("name", list(metrics()))
def test_a_metric_has_a_description_and_a_file(name: str) -> None:
    metric: type[Metric] = metrics()[name]

    assert metric.__doc__
    assert metric.__module__.startswith("optcore.metrics.")
