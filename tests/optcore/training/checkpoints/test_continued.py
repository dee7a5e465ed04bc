"""A run that goes on where another one ended is the second part of a longer run, bit for bit."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.files.files import Files
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.begin import begin_from
from optcore.training.checkpoints.checkpoint import Checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from tests.support.optcore.runs.continuing import NOWHERE, row_of
from tests.support.optcore.runs.resume_cases import BLOCKS, OTHERS, spec_of

CONSTANT = {"kind": "constant"}
DYNAMIC = {"kind": "dynamic", "start": 2.0**40, "window": 3}
CASES: dict[str, dict[str, Any]] = {
    **{
        name: spec_of(name, CONSTANT)
        for name in ("adam", "momentum", "nadam", "schedule_free_adamw", "muon", "lbfgs")
    },
    **{
        name: {**spec, "schedule": CONSTANT}
        for name, spec in OTHERS.items()
        if "moves, begun in the middle" not in name
    },
    "an average that warms up": spec_of("adam", CONSTANT, ema={"decay": 0.99, "warmup": True}),
    "an average with every and begin": spec_of(
        "adam", CONSTANT, ema={"decay": 0.9, "every": 5, "begin": 3, "copy_first": True}
    ),
    **{
        f"{kind}, with layer_decay on blocks": {
            **spec_of(kind, CONSTANT),
            "model": BLOCKS,
            "optimizer": {
                "kind": kind,
                "lr": 0.01,
                "groups": [{"preset": "layer_decay", "factor": 0.5}],
            },
        }
        for kind in ("schedule_free_adamw", "schedule_free_sgd")
    },
    "no shuffling": {
        **spec_of("adam", CONSTANT),
        "dataset": {"kind": "digits", "batch_size": 95, "shuffle": False},
    },
    "fp16, with overflows": spec_of("adam", CONSTANT, precision="fp16", loss_scale=DYNAMIC),
}


def of_length(spec: dict[str, Any], steps: int) -> RunSpec:
    return RunSpec.parse({**spec, "training": {**spec["training"], "steps": steps}})


def rows_of(run: Run) -> list[Any]:
    """Train *run* to its end; return its rows without their numbers."""
    return [row_of(report)[1:] for report in train(run) if isinstance(report, StepReport)]


def parted(
    spec: dict[str, Any], lengths: list[int], folder: Path, **changes: Any
) -> tuple[list[Any], Run]:
    """Train runs of *lengths*, each going on from the end of the one before it."""
    files = Files(folder)
    run = Run.start(of_length(spec, lengths[0]), data_dir=NOWHERE)
    rows = rows_of(run)
    for steps in lengths[1:]:
        saved = checkpoint.save(run, files)
        run = going_on(files, saved, of_length(spec, steps))
        assert run.row == run.t == 0
        rows += rows_of(run)
    return rows, run


def going_on(files: Files, saved: Checkpoint, spec: RunSpec, **options: Any) -> Run:
    return begin_from(
        spec, files, saved.path, keep="optimizer", data_dir=NOWHERE, sha256=saved.sha256, **options
    )


@pytest.mark.parametrize("case", CASES)
def test_runs_that_go_on_are_one_longer_run(case: str, tmp_path: Path) -> None:
    """It ends within an epoch of 8 or 18 steps, and at no multiple of an average's interval."""
    whole = Run.start(of_length(CASES[case], 23), data_dir=NOWHERE)
    wanted = rows_of(whole)

    rows, run = parted(CASES[case], [11, 5, 7], tmp_path)

    assert rows == wanted
    assert digest(run.tensors()) == digest(whole.tensors())


def test_a_run_that_goes_on_resumes_with_the_same_bits(tmp_path: Path) -> None:
    spec = spec_of("adam", CONSTANT, lookahead={"every": 3})
    files, first = Files(tmp_path), Run.start(of_length(spec, 11), data_dir=NOWHERE)
    rows_of(first)
    saved = checkpoint.save(first, files)
    undisturbed = going_on(files, saved, of_length(spec, 9))
    wanted = rows_of(undisturbed)
    half = going_on(files, saved, of_length(spec, 9))
    done = [r for r in islice(train(half), 7) if isinstance(r, StepReport)]
    own = checkpoint.save(half, files, "own")

    again = Run.start(of_length(spec, 9), data_dir=NOWHERE)
    checkpoint.restore(again, files, own.path, sha256=own.sha256)

    assert rows_of(again) == wanted[len(done) :]
    assert digest(again.tensors()) == digest(undisturbed.tensors())


def test_a_step_that_had_begun_is_finished(tmp_path: Path) -> None:
    """As after a pause, between the batches of a step."""
    spec = spec_of("adam", CONSTANT, accumulate=3)
    whole = Run.start(of_length(spec, 9), data_dir=NOWHERE)
    wanted = rows_of(whole)
    files, first = Files(tmp_path), Run.start(of_length(spec, 9), data_dir=NOWHERE)
    rows = []
    for report in train(first):
        if isinstance(report, StepReport):
            rows.append(report)
        if len(rows) == 4 and first.micro == 2:
            break
    saved = checkpoint.save(first, files)

    run = going_on(files, saved, of_length(spec, 5))
    fewer = {**spec, "training": {**spec["training"], "accumulate": 2}}
    other = going_on(files, saved, of_length(fewer, 5))

    assert (run.micro, other.micro) == (2, 0)
    assert rows_of(run) == wanted[4:]
    assert digest(run.tensors()) == digest(whole.tensors())
    assert len(rows_of(other)) == 5


def test_other_examples_begin_with_their_first_epoch(tmp_path: Path) -> None:
    spec = spec_of("adam", CONSTANT, ema=None)
    files, first = Files(tmp_path), Run.start(of_length(spec, 11), data_dir=NOWHERE)
    rows_of(first)
    saved = checkpoint.save(first, files)

    changes: dict[str, dict[str, Any]] = {
        "same": {},
        "batch": {"batch_size": 50},
        "order": {"shuffle": False},
        "validation": {"validation": 100},
    }
    found = {}
    for name, change in changes.items():
        dataset = {**spec["dataset"], **change}
        run = going_on(files, saved, of_length({**spec, "dataset": dataset}, 5))
        found[name] = (run.batches.epoch, run.batches.position)

    at = (first.batches.epoch, first.batches.position)
    assert at[0] > 0
    assert at[1] > 0
    assert found == {"same": at, "batch": at, "order": at, "validation": (0, 0)}


def test_a_loss_scale_that_was_changed_counts(tmp_path: Path) -> None:
    spec = spec_of("adam", CONSTANT, precision="fp16", loss_scale=DYNAMIC)
    files, first = Files(tmp_path), Run.start(of_length(spec, 11), data_dir=NOWHERE)
    rows_of(first)
    assert first.scaler is not None
    saved = checkpoint.save(first, files)

    scales = []
    for scale in (DYNAMIC, {"kind": "fixed", "scale": 8.0}, {**DYNAMIC, "window": 5}):
        changed = {**spec, "training": {**spec["training"], "loss_scale": scale}}
        run = going_on(files, saved, of_length(changed, 5))
        assert run.scaler is not None
        scales.append(run.scaler.scale)

    assert scales == [first.scaler.scale, 8.0, 2.0**40]


def test_an_average_of_another_kind_begins_with_the_weights(tmp_path: Path) -> None:
    spec = spec_of("adam", CONSTANT)
    files, first = Files(tmp_path), Run.start(of_length(spec, 11), data_dir=NOWHERE)
    rows_of(first)
    saved = checkpoint.save(first, files)

    changed = {**spec, "training": {**spec["training"], "ema": {"kind": "swa"}}}
    run = going_on(files, saved, of_length(changed, 5))

    assert run.ema is not None
    assert run.ema.before == 0
    for name, param in run.model.named_parameters():
        assert torch.equal(run.ema.tensors[name], param.detach())


@pytest.mark.parametrize(
    ("ema", "changed", "batch_size", "goes_on"),
    [
        ({"decay": 0.9}, {"decay": 0.8}, 50, True),
        (
            {"kind": "swa", "every": 2, "begin": 4},
            {"kind": "swa", "every": 2, "begin": 4},
            95,
            True,
        ),
        ({"kind": "swa"}, {"kind": "swa"}, 95, False),  # of 11 updates, 0.75 are others than of 5
        ({"kind": "swa", "begin": 4}, {"kind": "swa", "begin": None}, 95, False),
        ({"decay": 0.9, "every": 2}, {"decay": 0.9, "every": 3}, 95, False),
        ({"kind": "swa", "begin": None}, {"kind": "swa", "begin": None}, 50, False),
    ],
    ids=["decay", "same", "share", "begin", "every", "epochs"],
)
def test_an_average_goes_on_if_it_counts_the_same_updates(
    tmp_path: Path, ema: Any, changed: Any, batch_size: int, *, goes_on: bool
) -> None:
    spec = spec_of("adam", CONSTANT, ema=ema)
    files, first = Files(tmp_path), Run.start(of_length(spec, 11), data_dir=NOWHERE)
    rows_of(first)
    saved = checkpoint.save(first, files)

    dataset = {**spec["dataset"], "batch_size": batch_size}
    training = {**spec["training"], "ema": changed}
    run = going_on(files, saved, of_length({**spec, "dataset": dataset, "training": training}, 5))

    assert run.ema is not None
    assert first.ema is not None
    assert run.ema.before == (11 if goes_on else 0)
    start = first.ema.tensors if goes_on else run.model_tensors()
    assert all(torch.equal(tensor, start[name]) for name, tensor in run.ema.tensors.items())


def test_a_run_may_take_over_the_optimizer_alone(tmp_path: Path) -> None:
    """As a clone does that an earlier release accepted."""
    spec = spec_of("adam", CONSTANT)
    files, first = Files(tmp_path), Run.start(of_length(spec, 11), data_dir=NOWHERE)
    rows_of(first)
    saved = checkpoint.save(first, files)

    run = going_on(files, saved, of_length(spec, 5), continues=False)

    assert (run.batches.epoch, run.batches.position, run.rows_before) == (0, 0, 0)
    assert set(run.optimizer.named_counts().values()) == {11}


def test_a_checkpoint_of_a_run_that_continues_none_says_nothing_of_it(tmp_path: Path) -> None:
    """So that it has the same bytes as before."""
    files, run = Files(tmp_path), Run.start(of_length(CASES["adam"], 3), data_dir=NOWHERE)
    rows_of(run)
    saved = checkpoint.save(run, files)

    assert '"before"' not in (tmp_path / saved.path / "state.json").read_text()
