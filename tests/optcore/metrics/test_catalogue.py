"""The list of metrics, and what is refused in those of installed packages."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from optcore.metrics.base import Metric
from optcore.metrics.catalogue import metrics, metrics_of
from optcore.spec.tasks.tasks import TASKS

BASE = "from optcore.metrics.base import Mean\n"
METRIC = "class Own(Mean):\n    NAME = {name!r}\n    TASKS = frozenset({{'classification'}})\n"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """The list is read once in a process."""
    metrics.cache_clear()
    yield
    metrics.cache_clear()


def install(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution with the metric ``Own`` in a module of its own."""
    module = f"operators_{abs(hash(code))}"
    (folder / f"{module}.py").write_text(BASE + code)
    info = folder / "operators-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: operators\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[optserve.metrics]\nown = {module}:Own\n")
    monkeypatch.syspath_prepend(str(folder))


def test_the_loss_comes_first_and_every_task_has_it() -> None:
    assert next(iter(metrics())) == "loss"
    for task in TASKS:
        assert "loss" in metrics_of(task)


def test_a_metric_of_a_package_is_measured_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would join runs that have begun without it."""
    install(tmp_path, METRIC.format(name="own"), monkeypatch)

    assert metrics()["own"].ON_REQUEST
    assert "own" in metrics_of("classification")
    assert "own" not in metrics_of("regression")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (METRIC.format(name="my metric/é"), "must match [a-z][a-z0-9_]{0,63}, got 'my metric/é'"),
        (
            "class Own(Mean):\n    TASKS = frozenset()\n",
            "must match [a-z][a-z0-9_]{0,63}, got None",
        ),
        (METRIC.format(name="loss"), "got 'loss' in optcore.metrics.loss.MeanLoss and operators_"),
        ("Own = 3\n", "an entry point of optserve.metrics must be a Metric, got 3"),
    ],
)
def test_what_is_no_metric_is_named(
    code: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, code, monkeypatch)

    with pytest.raises(TypeError) as caught:
        metrics()

    assert text in str(caught.value)


@pytest.mark.parametrize("name", list(metrics()))
def test_a_metric_has_a_description_and_a_file(name: str) -> None:
    metric: type[Metric] = metrics()[name]

    assert metric.__doc__
    assert metric.__module__.startswith("optcore.metrics.")
