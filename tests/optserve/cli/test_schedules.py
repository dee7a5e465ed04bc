"""`optserve schedule plot`: schedules drawn in the terminal and to a file."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from optcore.spec.errors import SpecError
from optserve.cli.files import BadFile
from optserve.cli.main import app

RUNNER = CliRunner(env={"COLUMNS": "80"})
JOB = {
    "model": {"kind": "mnist_cnn"},
    "dataset": {"kind": "mnist", "batch_size": 100},
    "optimizer": {"kind": "adam", "lr": 0.001},
    "schedule": {"kind": "cosine", "warmup": {"length": 60}},
    "training": {"epochs": 1},
}


def plot(*args: str) -> str:
    result = RUNNER.invoke(app, ["schedule", "plot", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_schedule_is_drawn_within_80_columns() -> None:
    text = plot('{"kind": "cosine"}', "--lr", "0.1", "--steps", "200")

    lines = text.splitlines()
    assert lines[0].split() == ["lr", "of", "cosine,", "200", "steps"]
    assert max(map(len, lines)) <= 80
    assert "first 0.1  peak 0.1 at step 0  last 6.16838e-06" in text


def test_a_schedule_may_be_given_by_name() -> None:
    assert "rex, 1000 steps" in plot("rex")


def test_a_job_is_drawn_with_its_own_lr_and_steps(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(JOB))

    text = plot(str(file))

    assert "cosine, 600 steps" in text
    assert "peak 0.001 at step 60" in text
    assert "warmup 10%" in text


def test_to_writes_an_svg_file(tmp_path: Path) -> None:
    file = tmp_path / "lr.svg"

    plot("cosine", "--to", str(file))

    assert ET.fromstring(file.read_text()).find("{*}polyline") is not None


def test_warnings_are_shown() -> None:
    assert "warning: schedule: lr never reaches its end" in plot('{"kind":"rex","length":2000}')


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["cosin"], "schedule.kind: kind must be one of"),
        (["{"], "SPEC must hold a schedule or a job as JSON: Expecting property name"),
        (["cosine", "--lr", "-1"], "lr must be positive, got -1"),
        (["cosine", "--to", "lr.png"], r"to must be a \.svg file, got 'lr.png'"),
    ],
)
def test_what_cannot_be_drawn_is_explained(args: list[str], message: str) -> None:
    with pytest.raises((SpecError, BadFile), match=message):
        RUNNER.invoke(app, ["schedule", "plot", *args], catch_exceptions=False)
