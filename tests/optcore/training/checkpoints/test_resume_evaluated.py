"""Runs that are saved right after an evaluation, and resumed."""

from __future__ import annotations

from pathlib import Path

from optcore.files.files import Files
from optcore.training.checkpoints import checkpoint
from optcore.training.loop import train
from optcore.training.reports import Evaluation, Report, StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.resume_cases import STEPS, spec_of, started, stopped


def resumed_after(which: int, folder: Path) -> tuple[Run, list[Report], list[Report], int]:
    """
    Save a run that is stopped early right after an evaluation, and resume it.

    Return the resumed run, its reports, those of an undisturbed run, and the number of those up to
    that evaluation.
    """
    patient = {"patience": 1, "min_delta": 9.0}
    spec = spec_of("adam", early_stopping=patient, keep_best="val_accuracy")
    whole = list(train(started(spec)))
    ends = [i + 1 for i, report in enumerate(whole) if isinstance(report, Evaluation)]
    saved = checkpoint.save(stopped(spec, ends[which])[0], Files(folder))
    resumed = started(spec)
    checkpoint.restore(resumed, Files(folder), saved.path)
    return resumed, list(train(resumed)), whole, ends[which]


def test_a_run_saved_right_after_an_evaluation_does_not_repeat_it(tmp_path: Path) -> None:
    resumed, rest, whole, before = resumed_after(0, tmp_path)

    assert rest == whole[before:]
    assert resumed.stopped
    assert resumed.row < STEPS


def test_a_run_saved_at_its_end_is_evaluated_again_and_stays_ended(tmp_path: Path) -> None:
    """Its worker may have died before the job had the result."""
    resumed, rest, whole, before = resumed_after(-1, tmp_path)

    (last,) = (report for report in rest if isinstance(report, Evaluation))
    ended = whole[before - 1]
    assert isinstance(ended, Evaluation)
    assert last.metrics == ended.metrics
    assert not any(isinstance(report, StepReport) for report in rest)
    assert resumed.stopped
    assert resumed.row == ended.step < STEPS
