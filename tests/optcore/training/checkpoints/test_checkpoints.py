"""Checkpoints: a folder that is whole, verified, and enough to go on with the same bits."""

import json
import resource
import signal
from pathlib import Path
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files
from optcore.training.checkpoints import checkpoint, tensors
from optcore.training.checkpoints.begin import begin_from
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import Evaluation, Progress, StepReport
from tests.support.optcore.runs.image_run import LAYERS, NOWHERE, spec, start, steps


@pytest.mark.parametrize("stop", [7, 24, 31])
def test_a_run_resumed_from_a_checkpoint_has_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = start(spec())
    expected = steps(whole)

    begun = start(spec())
    steps(begun, stop)
    saved = checkpoint.save(begun, Files(tmp_path))
    torch.rand(100)  # whatever else the process does must not matter
    continued = start(spec())
    checkpoint.restore(continued, Files(tmp_path), saved.path, sha256=saved.sha256)

    assert steps(continued) == expected[stop:]
    assert digest(continued.tensors()) == digest(whole.tensors())


def test_a_checkpoint_holds_the_network_for_plain_safetensors(tmp_path: Path) -> None:
    run = start(spec())
    steps(run, 3)

    saved = checkpoint.save(run, Files(tmp_path))

    weights = load_file(tmp_path / saved.path / "model.safetensors")
    assert weights.keys() == run.model.state_dict().keys()
    assert torch.equal(weights["6.weight"], run.model.state_dict()["6.weight"])


def test_a_checkpoint_is_contiguous_and_records_the_memory_format(tmp_path: Path) -> None:
    wide = [{"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1}, *LAYERS]
    run = start(spec(model={"kind": "sequential", "layers": wide}))
    steps(run, 3)

    saved = checkpoint.save(run, Files(tmp_path))
    facts, model, state = tensors.read(Files(tmp_path), saved.path)

    weight = run.model.state_dict()["1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert facts["facts"]["memory_format"] == "channels_last"
    assert all(tensor.is_contiguous() for tensor in [*model.values(), *state.values()])
    assert torch.equal(model["1.weight"], weight)


def test_the_last_three_checkpoints_are_kept(tmp_path: Path) -> None:
    run = start(spec())
    for report in train(run):
        if isinstance(report, StepReport) and run.t % 10 == 0:
            checkpoint.save(run, Files(tmp_path))

    names = sorted(path.name.rpartition("-")[0] for path in tmp_path.iterdir())
    assert names == ["step-00000020", "step-00000030", "step-00000040"]


def test_a_checkpoint_of_an_earlier_step_than_the_others_is_kept(tmp_path: Path) -> None:
    files, run, again = Files(tmp_path), start(spec()), start(spec())
    for report in train(run):
        if isinstance(report, StepReport) and run.t % 10 == 0:
            checkpoint.save(run, files)
    steps(again, 5)

    saved = checkpoint.save(again, files)

    names = [name.rpartition("-")[0] for name in files.entries("")]
    assert names == ["step-00000005", "step-00000030", "step-00000040"]
    checkpoint.restore(start(spec()), files, saved.path, sha256=saved.sha256)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    run = start(spec())
    steps(run, 3)
    saved = checkpoint.save(run, Files(tmp_path))
    path = tmp_path / saved.path / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[:-10])

    with pytest.raises(CheckpointUnusable, match=f"{name} .*the file is damaged"):
        checkpoint.restore(start(spec()), Files(tmp_path), saved.path, sha256=saved.sha256)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("trouble", ["missing", "a folder"])
def test_a_checkpoint_that_cannot_be_read_now_is_not_reported_as_damaged(
    tmp_path: Path, name: str, trouble: str
) -> None:
    """It may be there again in a moment: who restores it must be able to tell."""
    run = start(spec())
    steps(run, 3)
    saved = checkpoint.save(run, Files(tmp_path))
    away = (tmp_path / saved.path / name).rename(tmp_path / "away")
    if trouble == "a folder":
        (tmp_path / saved.path / name).mkdir()
    fresh = start(spec())

    with pytest.raises(OSError, match=name):
        checkpoint.restore(fresh, Files(tmp_path), saved.path, sha256=saved.sha256)
    if trouble == "a folder":
        (tmp_path / saved.path / name).rmdir()
    away.rename(tmp_path / saved.path / name)

    checkpoint.restore(fresh, Files(tmp_path), saved.path, sha256=saved.sha256)
    assert digest(fresh.tensors()) == saved.digest


def test_a_checkpoint_of_another_spec_is_refused(tmp_path: Path) -> None:
    run = start(spec())
    saved = checkpoint.save(run, Files(tmp_path))

    other = start(spec(optimizer={"kind": "adam", "lr": 0.02}))
    with pytest.raises(CheckpointUnusable, match="was saved by a run with another spec"):
        checkpoint.restore(other, Files(tmp_path), saved.path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    saved = checkpoint.save(start(spec()), Files(tmp_path))
    facts = json.loads((tmp_path / saved.path / "state.json").read_text())
    (tmp_path / saved.path / "state.json").write_text(json.dumps({**facts, "format": 99}))

    with pytest.raises(CheckpointUnusable, match="must have format 4, got 99"):
        checkpoint.restore(start(spec()), Files(tmp_path), saved.path)


@pytest.mark.parametrize("name", ["step-00000009-1234abcd", ".draft-step-00000009"])
def test_what_a_crash_left_of_a_checkpoint_is_deleted(tmp_path: Path, name: str) -> None:
    run = start(spec())
    (tmp_path / name).mkdir()
    (tmp_path / name / "model.safetensors").write_bytes(b"half")

    saved = checkpoint.save(run, Files(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == [saved.path]


def test_nothing_is_left_of_a_checkpoint_for_which_there_is_no_space(
    tmp_path: Path,
) -> None:
    """The next try needs the space."""
    limit, (_, most) = resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)
    run = start(spec())
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(limit, (1000, most))
    try:
        with pytest.raises(OSError, match="File too large"):
            checkpoint.save(run, Files(tmp_path))
    finally:
        resource.setrlimit(limit, (most, most))

    assert list(tmp_path.iterdir()) == []


def test_a_run_stopped_within_an_evaluation_repeats_it(tmp_path: Path) -> None:
    whole = [report for report in train(start(spec())) if isinstance(report, Evaluation)]
    run = start(spec())
    for report in train(run):
        if isinstance(report, Progress):
            break
    saved = checkpoint.save(run, Files(tmp_path))

    continued = start(spec())
    checkpoint.restore(continued, Files(tmp_path), saved.path)

    assert [r for r in train(continued) if isinstance(r, Evaluation)] == whole


@pytest.mark.parametrize("keep", ["weights", "optimizer"])
def test_another_run_may_begin_with_a_checkpoint(
    tmp_path: Path, keep: Literal["weights", "optimizer"]
) -> None:
    begun = start(spec(training={"epochs": 1, "ema": {"decay": 0.5}}))
    steps(begun, 9)
    saved = checkpoint.save(begun, Files(tmp_path))
    other = spec(optimizer={"kind": "adam", "lr": 0.001}, training={"steps": 7, "ema": {}})

    run = begin_from(
        other, Files(tmp_path), saved.path, keep=keep, data_dir=NOWHERE, sha256=saved.sha256
    )

    assert (run.row, run.t) == (0, 0)
    assert digest(run.model_tensors()) == digest(begun.model_tensors())
    slots, old = run.optimizer.named_slots(), begun.optimizer.named_slots()
    assert all(
        torch.equal(slot, old[name][param] if keep == "optimizer" else torch.zeros_like(slot))
        for name, by in slots.items()
        for param, slot in by.items()
    )
    assert set(run.optimizer.named_counts().values()) == {9 if keep == "optimizer" else 0}
    assert run.ema is not None
    assert begun.ema is not None
    averages = begun.ema.tensors if keep == "optimizer" else run.model_tensors()
    assert all(torch.equal(t, averages[n]) for n, t in run.ema.tensors.items())
    assert steps(run)[0].lr == 0.0  # its own schedule, from its own 0


def test_a_run_does_not_begin_with_weights_that_do_not_fit(tmp_path: Path) -> None:
    saved = checkpoint.save(start(spec()), Files(tmp_path))
    other, wider = spec(optimizer={"kind": "sgd"}), spec(model={"kind": "mlp", "hidden": [9]})

    with pytest.raises(
        CheckpointUnusable, match=r"does not fit the run: slots must match .* missing none"
    ):
        begin_from(other, Files(tmp_path), saved.path, keep="optimizer", data_dir=NOWHERE)
    with pytest.raises(
        CheckpointUnusable, match=r"does not fit the run: weights must be .*, got 0\.bias, which"
    ):
        begin_from(wider, Files(tmp_path), saved.path, keep="weights", data_dir=NOWHERE)
