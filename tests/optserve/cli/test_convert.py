"""`optserve convert`: a job on stdout, notes and problems on stderr; --explain; --diff."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from optcore.recipes import catalogue
from optserve.cli import convert
from optserve.cli.files import BadFile
from optserve.cli.main import app
from optserve.cli.options import BadOption

RUNNER = CliRunner(env={"COLUMNS": "80"})
CONFIG = """
Global: {epoch_num: 4, print_batch_step: 10}
Optimizer:
  name: Adam
  foo: 1
  lr: {name: Cosine, learning_rate: 0.001, warmup_epoch: 1, epochs: 50}
"""


def test_the_help_names_every_kind_of_file() -> None:
    assert tuple(source.name for source in catalogue.SOURCES) == convert.SOURCES


def run(*args: str) -> Result:
    return RUNNER.invoke(app, ["convert", *args], catch_exceptions=False)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG)
    return path


def test_the_job_is_printed_and_notes_go_to_stderr(config: Path) -> None:
    result = run(str(config))

    assert result.exit_code == 0
    job = json.loads(result.stdout)
    assert job["optimizer"] == {"kind": "adam", "dialect": "paddleocr", "lr": 0.001}
    assert job["training"] == {"epochs": 4}
    assert result.stderr.splitlines() == [
        "note: Optimizer.foo: PaddleOCR's Adam takes it and does not use it",
        "note: Optimizer.lr.epochs: PaddleOCR overwrites it with Global.epoch_num",
    ]


def test_what_cannot_be_converted_ends_with_1_and_prints_no_job(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG + "  regularizer: {name: L2, coeff: 0.1}\n")

    result = run(str(path))

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "Optimizer.regularizer.coeff raises TypeError in PaddleOCR" in result.stderr


def test_explain_lists_every_key_within_80_columns(config: Path) -> None:
    result = run(str(config), "--explain")

    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert max(map(len, lines)) <= 80
    keys = [line.split(" = ")[0].strip() for line in lines if " = " in line]
    assert sorted(keys) == [
        "Global.epoch_num",
        "Global.print_batch_step",
        "Optimizer.foo",
        "Optimizer.lr.epochs",
        "Optimizer.lr.learning_rate",
        "Optimizer.lr.name",
        "Optimizer.lr.warmup_epoch",
        "Optimizer.name",
    ]
    assert "      -> optimizer.lr 0.001" in lines
    assert "      PaddleOCR overwrites it with Global.epoch_num" in lines


def test_explain_lists_what_is_refused_and_ends_with_1(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text(CONFIG.replace("Cosine", "Nope"))

    result = run(str(path), "--explain")

    assert result.exit_code == 1
    assert "Refused: settings that a job cannot reproduce" in result.stdout


def test_diff_draws_two_recipes_and_says_where_they_part(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(CONFIG.replace("warmup_epoch: 1", "warmup_epoch: 2"))

    result = run("--diff", str(config), str(other), "--steps-per-epoch", "10")

    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80 + len(str(tmp_path))
    assert "lr first differs at step 1: 0.0001 and 5e-05" in result.stdout
    assert "lr differs at 39 of 40 steps" in result.stdout
    assert "greatest ratio 3.07646 at step 39: 0.000175276 and 0.00053923" in result.stdout


def test_diff_says_that_two_recipes_are_the_same(config: Path, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(run(str(config)).stdout)

    result = run("--diff", str(config), str(job))

    assert "lr is the same at all steps" in result.stdout


def test_diff_takes_two_files_and_a_conversion_one(config: Path) -> None:
    with pytest.raises(BadOption, match="--diff takes two files, got 1"):
        run("--diff", str(config))
    with pytest.raises(BadOption, match="convert takes one file, or two with --diff, got 2"):
        run(str(config), str(config))


def test_an_unclear_file_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("Optimizer:\n  name: Adam\n  lr: {learning_rate: 0.001}\n")

    with pytest.raises(
        BadFile, match=r"Kinds are recognized by:\n  paddleocr: a block Optimizer, and Global"
    ):
        run(str(path))

    result = run(str(path), "--from", "paddleocr")
    assert json.loads(result.stdout)["optimizer"]["lr"] == 0.001


def test_an_unknown_kind_of_file_is_an_error_with_the_nearest_name(config: Path) -> None:
    with pytest.raises(BadFile, match=r"got 'paddelocr'; did you mean 'paddleocr'\?"):
        run(str(config), "--from", "paddelocr")


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00", "word"])
def test_a_file_without_a_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)

    with pytest.raises(BadFile, match="must be a YAML or JSON file with a mapping"):
        run(str(path))
