"""The jobs in examples/ are jobs, and run."""

import json
from pathlib import Path
from typing import Any

import pytest

from api.jobs.plan import plan_of
from optcore.spec.datasets.catalogue import AnyDataset
from optcore.spec.datasets.mnist_lines import MnistLinesSpec
from optcore.spec.datasets.text import Text
from optcore.training.loop import train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from tests.support.optcore.texts import write_text

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.json"))
KNOWN = {
    # As in the recipe: PaddleOCR's cosine is as long as the run, and begins after the warmup.
    "paddleocr_adam": [
        "schedule: lr never reaches its end of 0: the fall is over after 75 steps, the run after 60"
    ]
}
"""Name of an example -> the warnings of its plan that are meant."""
STEPS = 5
"""Number of steps of an example whose run takes minutes."""


def few_examples(dataset: AnyDataset) -> dict[str, Any]:
    """Return the fields that make a large dataset small."""
    if isinstance(dataset, Text):
        return {"validation_windows": 4, "test_windows": 4}
    # The same lines in every step, so that the loss falls within few.
    return {"train_lines": dataset.batch_size, "validation_lines": 4, "test_lines": 4}


def shortened(data: dict[str, Any]) -> JobSpec:
    """Return a job as one of a few steps, with few examples."""
    few = few_examples(JobSpec.parse(data).dataset)
    steps = {"epochs": None, "steps": STEPS, "evaluate_every": None}
    schedule = {"kind": "constant"}
    training = {name: v for name, v in {**data["training"], **steps}.items() if v is not None}
    dataset = {**data["dataset"], **few}
    return JobSpec.parse({**data, "dataset": dataset, "training": training, "schedule": schedule})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_job_that_learns(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = JobSpec.parse(json.loads(path.read_text()))
    data_dir, dataset = tmp_path, spec.dataset
    if isinstance(dataset, Text):
        write_text(tmp_path, dataset.file)
    if isinstance(dataset, MnistLinesSpec):
        data_dir = request.getfixturevalue("mnist")
    if isinstance(dataset, Text | MnistLinesSpec):
        spec = shortened(json.loads(path.read_text()))

    run = Run.start(spec.run_spec(), data_dir=data_dir)
    losses = [report.loss for report in train(run) if isinstance(report, StepReport)]

    assert len(losses) == spec.total_steps
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_nothing_that_its_plan_warns_of(path: Path) -> None:
    warnings = plan_of(JobSpec.parse(json.loads(path.read_text()))).warnings

    assert warnings == KNOWN.get(path.stem, [])


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [
        ("direction_classifier", "test_accuracy", 0.97),
        ("recognizer", "test_sequence_accuracy", 0.6),
    ],
)
def test_a_network_of_paddleocr_learns_to_read_lines(
    mnist: Path, name: str, metric: str, least: float
) -> None:
    (path,) = [path for path in EXAMPLES if path.stem == name]
    spec = JobSpec.parse(json.loads(path.read_text()))

    run = Run.start(spec.run_spec(), data_dir=mnist)
    *_, last = (report for report in train(run) if isinstance(report, Evaluation))

    reached = last.metrics[metric]
    assert isinstance(reached, float)
    assert reached >= least


def test_mindsporess_groups_have_their_own_lr_decay_and_schedule() -> None:
    (path,) = [path for path in EXAMPLES if path.stem == "mindspore_groups"]
    spec = JobSpec.parse(json.loads(path.read_text()))

    run = Run.start(spec.run_spec(), data_dir=Path())
    for _ in train(run):
        pass

    conv, rest = run.optimizer.param_groups
    assert conv["param_names"] == ["conv1.weight", "conv1.bias"]
    assert (conv["lr"], conv["weight_decay"]) == (0.01, 0.01)
    assert rest["param_names"] == ["fc.weight", "fc.bias"]
    assert 0.01 < rest["lr"] < 0.03  # the last step of 0.1 -> 0.01, as its square root
    assert rest["weight_decay"] == 0.0
