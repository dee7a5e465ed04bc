"""Checkpoints that release 0.2.0 wrote, with its places for clip, loss scale, average and lr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files
from optcore.spec.duration import rounding
from optcore.spec.former.translation import translated
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.former_specs import FORMER, stored
from tests.support.optcore.runs.small import NOWHERE


def rows(run: Run, until: int) -> list[StepReport]:
    """Return the steps of *run* up to row *until*."""
    found = []
    for report in train(run):
        if isinstance(report, StepReport):
            found.append(report)
            if run.row == until:
                break
    return found


@pytest.mark.parametrize("name", FORMER)
def test_it_is_resumed_with_the_same_bits(tmp_path: Path, name: str) -> None:
    spec, change = FORMER[name]
    whole = Run.start(RunSpec.parse(spec), data_dir=NOWHERE)
    first = rows(whole, 7)
    files = Files(tmp_path)
    saved = checkpoint.save(whole, files)
    rest = rows(whole, 12)
    file = tmp_path / saved.path / "state.json"
    facts = json.loads(file.read_text())
    facts["spec"] = stored(whole.spec.model_dump(mode="json"), change)
    if name == "loss scale":
        del facts["scaler"]  # the scale of an optimizer had no state
    file.write_text(json.dumps(facts))

    again = Run.start(RunSpec.parse_accepted(translated(facts["spec"])), data_dir=NOWHERE)
    checkpoint.restore(again, files, saved.path)

    assert again.spec == whole.spec
    assert len(first) == 7
    assert rows(again, 12) == rest
    assert digest(again.tensors()) == digest(whole.tensors())


def test_the_release_before_finds_the_spec_that_it_compares() -> None:
    """It reads a record without fields that are no more, and spells out their defaults."""
    run = Run.start(RunSpec.parse(FORMER["clip"][0]), data_dir=NOWHERE)

    facts = checkpoint._facts(run)

    assert facts["spec"]["optimizer"]["loss_scale"] == 1.0
    assert facts["spec"]["optimizer"]["average"] is None
    assert facts["spec"]["training"]["clip"] is None


def test_it_is_refused_if_its_release_rounded_a_duration_that_the_run_does_not(
    tmp_path: Path,
) -> None:
    spec = {**FORMER["clip"][0], "schedule": {"kind": "cosine", "length": {"epochs": 2.3}}}
    run = Run.start(RunSpec.parse(spec), data_dir=NOWHERE)
    rows(run, 3)
    files = Files(tmp_path)
    saved = checkpoint.save(run, files)
    file = tmp_path / saved.path / "state.json"
    facts = json.loads(file.read_text())
    del facts["durations"]
    file.write_text(json.dumps(facts))

    with pytest.raises(CheckpointUnusable) as raised:
        checkpoint.restore(Run.start(RunSpec.parse(spec), data_dir=NOWHERE), files, saved.path)
    with rounding():
        former = RunSpec.parse(spec)
    checkpoint.restore(Run.start(former, data_dir=NOWHERE), files, saved.path)

    assert str(raised.value) == (
        f"{saved.path} is of a run that began under a release up to 0.2.0, whose schedules round "
        "durations to whole steps; to resume the run, parse its spec inside "
        "`with optcore.spec.former.translation.former_rules():`"
    )
