"""A run that goes on in another process is the same run: every lr, every loss, every tensor."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec
from optcore.training import checkpoint
from optcore.training.loop import train
from optcore.training.reports import StepReport
from optcore.training.run import Run
from optcore.training.seeds import seed_everything
from tests.optcore.continuing import NOWHERE, finish

SEED = 20
OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam")
NETWORK: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 4, "kernel_size": 3, "padding": 1},
        {"kind": "batch_norm"},
        {"kind": "relu"},
        {"kind": "flatten"},
        {"kind": "dropout", "p": 0.2},
        {"kind": "linear", "out_features": 10},
    ],
}


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """Set what a trainer sets, which is part of the fingerprint."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def spec_of(optimizer: str, **training: object) -> dict[str, Any]:
    return {
        "model": NETWORK,
        "dataset": {"kind": "digits", "batch_size": 100},
        "optimizer": {"kind": optimizer, "lr": 0.01},
        "schedule": {"kind": "cosine", "warmup": {"length": 5}},
        "training": {"epochs": 3, "seed": 5, **training},
    }


def started(spec: dict[str, Any]) -> Run:
    return Run.start(RunSpec.parse(spec), data_dir=NOWHERE)


def stopped(spec: dict[str, Any], step: int) -> tuple[Run, list[list[Any]]]:
    """Return the run after *step* updates, and its rows so far."""
    run, rows = started(spec), list[list[Any]]()
    for report in train(run):
        if isinstance(report, StepReport):
            rows.append([report.step, report.lr.hex(), report.loss.hex()])
        if len(rows) == step:
            break
    return run, rows


def mid_epoch(draw: random.Random) -> int:
    """Return a step that is not the first of an epoch (of 15)."""
    return 15 * draw.randrange(3) + draw.randrange(1, 15)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a new process makes of a checkpoint of each optimizer, with the rows before it."""
    folder = tmp_path_factory.mktemp("resume")
    draw = random.Random(SEED)
    torch.use_deterministic_algorithms(True)
    before, cases = [], []
    for name in OPTIMIZERS:
        run, rows = stopped(spec_of(name), mid_epoch(draw))
        saved = checkpoint.save(run, folder / name)
        before.append(rows)
        cases.append({"spec": spec_of(name), "checkpoint": str(saved.path), "sha256": saved.sha256})
    (folder / "cases.json").write_text(json.dumps(cases))
    command = [sys.executable, "-m", "tests.optcore.continuing"]
    subprocess.run([*command, str(folder / "cases.json"), str(folder / "results.json")], check=True)
    results = json.loads((folder / "results.json").read_text())
    return {
        name: {"before": rows, **result}
        for name, rows, result in zip(OPTIMIZERS, before, results, strict=True)
    }


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_in_a_new_process_with_the_same_bits(
    optimizer: str, elsewhere: dict[str, dict[str, Any]]
) -> None:
    undisturbed = finish(started(spec_of(optimizer)))

    resumed = elsewhere[optimizer]

    assert 0 < len(resumed["before"]) < 45
    assert resumed["before"] + resumed["rows"] == undisturbed["rows"]
    assert resumed["digest"] == undisturbed["digest"]


# ------------------------------------------------------------------ what a checkpoint must hold


def _forget_slots(run: Run) -> None:
    for by_name in run.optimizer.named_slots().values():
        for slot in by_name.values():
            slot.zero_()


def _forget_count(run: Run) -> None:
    counts = run.optimizer.named_counts()
    slots = {s: dict(t) for s, t in run.optimizer.named_slots().items()}
    run.optimizer.load_named(slots, dict.fromkeys(counts, 0))


def _forget_step(run: Run) -> None:
    run.t = 0


def _forget_position(run: Run) -> None:
    run.batches.position = 0


def _forget_order(run: Run) -> None:
    run.batches.order = torch.arange(len(run.dataset.train))


def _forget_generator(run: Run) -> None:
    seed_everything(run.spec.training.seed)


def _forget_statistics(run: Run) -> None:
    for layer in run.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()


def _forget_plateau(run: Run) -> None:
    for schedule in run.optimizer.followed():
        schedule.load_state_dict(
            started(run.spec.model_dump()).optimizer.followed()[0].state_dict()
        )


FORGOTTEN: dict[str, Callable[[Run], None]] = {
    "nothing": lambda run: None,
    "slots": _forget_slots,
    "the optimizer's count of steps": _forget_count,
    "t": _forget_step,
    "the position in the epoch": _forget_position,
    "the order of the examples": _forget_order,
    "torch's generator": _forget_generator,
    "BatchNorm's statistics": _forget_statistics,
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_every_ingredient_of_a_checkpoint_matters(what: str, tmp_path: Path) -> None:
    spec = spec_of("adam")
    undisturbed = finish(started(spec))
    saved = checkpoint.save(stopped(spec, 20)[0], tmp_path)
    run = started(spec)
    checkpoint.restore(run, saved.path)

    FORGOTTEN[what](run)
    resumed = finish(run)

    same = resumed["rows"] == undisturbed["rows"][20:], resumed["digest"] == undisturbed["digest"]
    if what == "nothing":
        assert same == (True, True)
    elif what == "BatchNorm's statistics":
        assert same == (True, False)  # no loss curve shows it; the digest does
    else:
        assert same == (False, False)


def test_a_checkpoint_from_where_bits_differ_is_refused(tmp_path: Path) -> None:
    spec = spec_of("adam")
    saved = checkpoint.save(stopped(spec, 20)[0], tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)

    try:
        with pytest.raises(checkpoint.CheckpointUnusable) as caught:
            checkpoint.restore(started(spec), saved.path)
        checkpoint.restore(started(spec), saved.path, exact=False)
    finally:
        torch.set_num_threads(threads)

    assert str(caught.value).endswith(
        f"would not go on with the same bits: threads was {threads}, is {threads + 1}"
    )


FOLLOWING: dict[str, Any] = {
    "optimizer": {"kind": "momentum", "lr": 0.2, "groups": [{"match": "*.bias", "lr_scale": 0.5}]},
    "schedule": {
        "kind": "plateau",
        "metric": "train_loss",
        "threshold": 0.6,
        "patience": 0,
        "factor": 0.3,
    },
    "training": {"steps": 45, "seed": 5, "evaluate_every": 4},
}


@pytest.mark.parametrize("forgets", [False, True])
def test_a_schedule_that_follows_the_loss_goes_on_where_it_was(
    forgets: bool, tmp_path: Path
) -> None:
    spec = {**spec_of("momentum"), **FOLLOWING}
    undisturbed = finish(started(spec))
    left, _ = stopped(spec, 22)
    saved = checkpoint.save(left, tmp_path)
    run = started(spec)
    checkpoint.restore(run, saved.path)
    assert (run.loss_sum, run.loss_count) == (left.loss_sum, left.loss_count)
    assert run.loss_count == 2  # it would be part of the next mean

    if forgets:
        _forget_plateau(run)
    resumed = finish(run)

    lrs = [float.fromhex(lr) for _, lr, _ in undisturbed["rows"]]
    assert lrs[0] == 0.2
    assert len(set(lrs)) > 2  # it did move
    assert (resumed["rows"] == undisturbed["rows"][22:]) == (not forgets)


def test_a_run_that_is_never_evaluated_cannot_be_followed() -> None:
    spec = {**spec_of("momentum"), **FOLLOWING, "training": {"steps": 9, "evaluate_every": None}}

    with pytest.raises(SpecError) as caught:
        RunSpec.parse(spec)

    assert str(caught.value) == (
        "training.evaluate_every: evaluate_every is required for schedule plateau, which follows "
        "evaluations, got null"
    )
