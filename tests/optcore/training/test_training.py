"""The loop and its checkpoints: the same run, whatever interrupts it."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file

from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint, files
from optcore.training.checkpoints.begin import begin_from
from optcore.training.checkpoints.digest import digest
from optcore.training.checkpoints.files import CheckpointUnusable
from optcore.training.loop import steps_alone, train
from optcore.training.reports import Diverged, Evaluation, Progress, Report, StepReport
from optcore.training.run import Run

NOWHERE = Path("/nonexistent")  # digits need no data directory

LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
    {"kind": "batch_norm"},
    {"kind": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2},
    {"kind": "flatten"},
    {"kind": "dropout", "p": 0.2},
    {"kind": "linear", "out_features": 10},
]
NETWORK = {"kind": "sequential", "layers": LAYERS}


def spec(**changes: object) -> RunSpec:
    data: dict[str, Any] = {
        "model": NETWORK,
        "dataset": {"kind": "digits", "batch_size": 64},
        "optimizer": {"kind": "adam", "lr": 0.01},
        "schedule": {"kind": "cosine", "warmup": {"length": 5}},
        "training": {"epochs": 2, "seed": 11},
    }
    return RunSpec.parse({**data, **changes})


def start(run_spec: RunSpec) -> Run:
    return Run.start(run_spec, data_dir=NOWHERE)


def steps(run: Run, limit: int | None = None) -> list[StepReport]:
    found: list[StepReport] = []
    for report in train(run):
        if isinstance(report, StepReport):
            found.append(report)
            if len(found) == limit:
                break
    return found


def test_a_run_reports_every_step_once_and_evaluates_every_epoch() -> None:
    run = start(spec())

    reports = list(train(run))

    assert sum(isinstance(report, Progress) for report in reports) == 2
    rows = [report for report in reports if isinstance(report, StepReport)]
    looks = [report for report in reports if isinstance(report, Evaluation)]
    assert [row.step for row in rows] == list(range(48))
    assert [look.step for look in looks] == [24, 48]
    assert rows[0].lr == 0.0
    assert rows[5].lr == 0.01
    assert looks[-1].examples == 297
    assert 0.5 < looks[0].accuracy < looks[1].accuracy
    assert run.model.training


STOPPING = {"metric": "test_loss", "patience": 1, "min_delta": 10.0}


@pytest.mark.parametrize("ahead", [1, 8])
@pytest.mark.parametrize(
    "training",
    [
        {"steps": 30, "evaluate_every": 7},
        {"steps": 30, "evaluate_every": 1},
        {"steps": 30, "evaluate_every": None, "checkpoint_every": 4},
        {"epochs": 2},
        {"epochs": 5, "early_stopping": STOPPING},
        {"steps": 30, "evaluate_every": 7, "on_divergence": "skip", "loss_limit": 2.5},
    ],
    ids=str,
)
def test_at_every_step_the_loop_knows_how_many_follow_alone(
    training: dict[str, Any], ahead: int
) -> None:
    run = start(spec(training=training))

    reports = list(train(run, ahead=ahead))

    assert alone(run, reports) == following(reports)


def test_a_resumed_run_knows_how_many_steps_follow_alone(tmp_path: Path) -> None:
    interrupted = start(spec())
    steps(interrupted, 10)
    run = start(spec())
    checkpoint.restore(run, checkpoint.save(interrupted, tmp_path).path)

    reports = list(train(run))

    assert alone(run, reports) == following(reports) == [*range(13, -1, -1), *range(23, -1, -1)]


def test_where_there_are_signs_of_life_no_step_is_sure_to_follow_another() -> None:
    run = start(spec(training={"epochs": 1, "accumulate": 2}))

    assert set(alone(run, list(train(run)))) == {0}


def alone(run: Run, reports: list[Report]) -> list[int]:
    """Return what the loop knows at every step."""
    return [steps_alone(run, it.step) for it in reports if isinstance(it, StepReport)]


def following(reports: list[Report]) -> list[int]:
    """Return how many steps come right after every step."""
    kinds = [type(it) for it in reports]
    return [
        next((n for n, other in enumerate(kinds[i + 1 :]) if other is not StepReport), 0)
        for i, kind in enumerate(kinds)
        if kind is StepReport
    ]


def test_a_network_learns_what_it_is_shown() -> None:
    run = start(spec(model={"kind": "mlp", "hidden": [64]}, training={"epochs": 20}))

    *_, last = train(run)

    assert isinstance(last, Evaluation)
    assert last.accuracy > 0.9


def test_two_runs_of_a_spec_have_the_same_bits() -> None:
    first = start(spec())
    first_steps = steps(first)

    second = start(spec())
    second_steps = steps(second)

    assert first_steps == second_steps
    assert digest(first.tensors()) == digest(second.tensors())


@pytest.mark.parametrize("stop", [7, 24, 31])
def test_a_run_continued_from_a_checkpoint_has_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = start(spec())
    expected = steps(whole)

    begun = start(spec())
    steps(begun, stop)
    saved = checkpoint.save(begun, tmp_path)
    torch.rand(100)  # whatever else the process does must not matter
    continued = start(spec())
    checkpoint.restore(continued, saved.path, sha256=saved.sha256)

    assert steps(continued) == expected[stop:]
    assert digest(continued.tensors()) == digest(whole.tensors())


def test_a_checkpoint_holds_the_network_for_plain_safetensors(tmp_path: Path) -> None:
    run = start(spec())
    steps(run, 3)

    saved = checkpoint.save(run, tmp_path)

    weights = load_file(saved.path / "model.safetensors")
    assert weights.keys() == run.model.state_dict().keys()
    assert torch.equal(weights["6.weight"], run.model.state_dict()["6.weight"])


def test_a_checkpoint_is_contiguous_and_says_how_its_tensors_lay(tmp_path: Path) -> None:
    wide = [{"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1}, *LAYERS]
    run = start(spec(model={"kind": "sequential", "layers": wide}))
    steps(run, 3)

    saved = checkpoint.save(run, tmp_path)
    facts, model, state = files.read(saved.path)

    weight = run.model.state_dict()["1.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()
    assert facts["facts"]["memory_format"] == "channels_last"
    assert all(tensor.is_contiguous() for tensor in [*model.values(), *state.values()])
    assert torch.equal(model["1.weight"], weight)


def test_channels_last_changes_the_losses_by_rounding_only() -> None:
    expected = steps(start(spec()), 20)
    contiguous = start(spec())
    contiguous.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    for ours, theirs in zip(steps(contiguous, 20), expected, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)


def test_the_last_three_checkpoints_are_kept(tmp_path: Path) -> None:
    run = start(spec())
    for report in train(run):
        if isinstance(report, StepReport) and run.t % 10 == 0:
            checkpoint.save(run, tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000020",
        "step-00000030",
        "step-00000040",
    ]


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    run = start(spec())
    steps(run, 3)
    saved = checkpoint.save(run, tmp_path)
    path = saved.path / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[:-10])

    with pytest.raises(CheckpointUnusable, match=f"{name} .*it is damaged"):
        checkpoint.restore(start(spec()), saved.path, sha256=saved.sha256)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "state.json"])
@pytest.mark.parametrize("trouble", ["missing", "a folder"])
def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, name: str, trouble: str
) -> None:
    """It may be there again in a moment: who restores it must be able to tell."""
    run = start(spec())
    steps(run, 3)
    saved = checkpoint.save(run, tmp_path)
    away = (saved.path / name).rename(tmp_path / "away")
    if trouble == "a folder":
        (saved.path / name).mkdir()
    fresh = start(spec())

    with pytest.raises(OSError, match=name):
        checkpoint.restore(fresh, saved.path, sha256=saved.sha256)
    if trouble == "a folder":
        (saved.path / name).rmdir()
    away.rename(saved.path / name)

    checkpoint.restore(fresh, saved.path, sha256=saved.sha256)
    assert digest(fresh.tensors()) == saved.digest


def test_a_checkpoint_of_another_spec_is_refused(tmp_path: Path) -> None:
    run = start(spec())
    saved = checkpoint.save(run, tmp_path)

    other = start(spec(optimizer={"kind": "adam", "lr": 0.02}))
    with pytest.raises(CheckpointUnusable, match="belongs to a run of another spec"):
        checkpoint.restore(other, saved.path)


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path) -> None:
    saved = checkpoint.save(start(spec()), tmp_path)
    facts = json.loads((saved.path / "state.json").read_text())
    (saved.path / "state.json").write_text(json.dumps({**facts, "format": 99}))

    with pytest.raises(CheckpointUnusable, match="must have format 4, got 99"):
        checkpoint.restore(start(spec()), saved.path)


def test_a_draft_that_a_crash_left_is_swept_away(tmp_path: Path) -> None:
    run = start(spec())
    (tmp_path / ".draft-step-00000009").mkdir()
    (tmp_path / ".draft-step-00000009" / "model.safetensors").write_bytes(b"half")

    checkpoint.save(run, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000"]


def test_a_loss_that_is_not_finite_is_reported_and_ends_the_run() -> None:
    run = start(spec(optimizer={"kind": "sgd", "lr": 1e38}, schedule={"kind": "constant"}))
    reports: list[Report] = []

    with pytest.raises(Diverged, match=r"loss must be finite, got (nan|inf) at step \d") as caught:
        reports.extend(train(run))

    last = reports[-1]
    assert isinstance(last, StepReport)
    assert not math.isfinite(last.loss)
    assert last.step == caught.value.step == run.t


def test_weights_that_the_last_update_destroyed_are_a_divergence_too() -> None:
    run = start(
        spec(
            optimizer={"kind": "sgd", "lr": 1e38},
            schedule={"kind": "constant"},
            training={"steps": 1},
        )
    )
    reports: list[Report] = []

    with pytest.raises(Diverged, match=r"loss must be finite, got (nan|inf) at step 1"):
        reports.extend(train(run))

    assert isinstance(reports[-1], Evaluation)
    assert not math.isfinite(reports[-1].loss)


def test_a_run_that_is_stopped_within_an_evaluation_makes_it_again(tmp_path: Path) -> None:
    whole = [report for report in train(start(spec())) if isinstance(report, Evaluation)]
    run = start(spec())
    for report in train(run):
        if isinstance(report, Progress):
            break
    saved = checkpoint.save(run, tmp_path)

    continued = start(spec())
    checkpoint.restore(continued, saved.path)

    assert [r for r in train(continued) if isinstance(r, Evaluation)] == whole


@pytest.mark.parametrize("keep", ["weights", "optimizer"])
def test_another_run_may_begin_where_a_checkpoint_is(
    tmp_path: Path, keep: Literal["weights", "optimizer"]
) -> None:
    begun = start(spec(training={"epochs": 1, "ema": {"decay": 0.5}}))
    steps(begun, 9)
    saved = checkpoint.save(begun, tmp_path)
    other = spec(optimizer={"kind": "adam", "lr": 0.001}, training={"steps": 7, "ema": {}})

    run = begin_from(other, saved.path, keep=keep, data_dir=NOWHERE, sha256=saved.sha256)

    assert (run.row, run.t) == (0, 0)
    assert digest(run.model_tensors()) == digest(begun.model_tensors())
    slots, old = run.optimizer.named_slots(), begun.optimizer.named_slots()
    assert all(
        torch.equal(slot, old[name][param] if keep == "optimizer" else torch.zeros_like(slot))
        for name, by in slots.items()
        for param, slot in by.items()
    )
    assert set(run.optimizer.named_counts().values()) == {9 if keep == "optimizer" else 0}
    assert run.ema is not None  # it begins at the weights that the run begins with
    assert all(torch.equal(t, run.model_tensors()[n]) for n, t in run.ema.tensors.items())
    assert steps(run)[0].lr == 0.0  # its own schedule, from its own 0


def test_a_run_does_not_begin_with_weights_that_do_not_fit(tmp_path: Path) -> None:
    saved = checkpoint.save(start(spec()), tmp_path)
    other, wider = spec(optimizer={"kind": "sgd"}), spec(model={"kind": "mlp", "hidden": [9]})

    with pytest.raises(CheckpointUnusable, match=r"does not fit: slots must match .* missing none"):
        begin_from(other, saved.path, keep="optimizer", data_dir=NOWHERE)
    with pytest.raises(
        CheckpointUnusable, match=r"does not fit: 0\.bias must have shape None, got \(4,\)"
    ):
        begin_from(wider, saved.path, keep="weights", data_dir=NOWHERE)
