"""A run resumed in another process is the same run: every lr, every loss, every tensor."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optcore.files.checkpoint_files import CheckpointUnusable
from optcore.files.files import Files
from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.errors import SpecError
from optcore.spec.former.translation import former_rules
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.run import Run
from tests.support.optcore.runs.continuing import finish
from tests.support.optcore.runs.resume_cases import (
    CASES,
    NETWORKS,
    OTHERS,
    RARER,
    SEED,
    SHORT,
    STEPS,
    after,
    continued,
    spec_of,
    started,
    stopped,
)


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """Set what a trainer sets, which is part of the fingerprint."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_every_schedule_and_optimizer_is_among_the_cases() -> None:
    assert {schedule["kind"] for schedule in SHORT} == set(SCHEDULES)
    assert set(OPTIMIZERS) < set(CASES)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a new process makes of a checkpoint of each case, with the rows before it."""
    return continued(CASES, tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def rarer_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What another one makes of those of the rarer cases."""
    return continued(RARER, tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def networks_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What another one makes of those of the built-in networks."""
    return continued(NETWORKS, tmp_path_factory.mktemp("resume"))


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
def test_a_built_in_network_resumes_with_the_same_bits(
    name: str, networks_elsewhere: dict[str, dict[str, Any]]
) -> None:
    goes_on(NETWORKS[name], networks_elsewhere[name])


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_a_run_resumes_in_a_new_process_with_the_same_bits(
    name: str, elsewhere: dict[str, dict[str, Any]]
) -> None:
    goes_on(CASES[name], elsewhere[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", RARER)
def test_every_schedule_resumes_with_three_optimizers_in_two_precisions(
    name: str, rarer_elsewhere: dict[str, dict[str, Any]]
) -> None:
    goes_on(RARER[name], rarer_elsewhere[name])


def goes_on(spec: dict[str, Any], resumed: dict[str, Any]) -> None:
    """Compare what was resumed with the same run, undisturbed."""
    undisturbed = finish(started(spec))

    assert resumed["before"] + resumed["rows"] == undisturbed["rows"], f"seed {SEED}"
    assert resumed["digest"] == undisturbed["digest"], f"seed {SEED}"
    assert len(undisturbed["rows"]) == STEPS


def test_many_runs_were_stopped_within_an_epoch_or_an_accumulation(
    elsewhere: dict[str, dict[str, Any]],
) -> None:
    within = [case for case in elsewhere.values() if case["micro"]]

    assert len(within) > len(CASES) / 4
    assert sum(case["position"] % 1500 > 0 for case in elsewhere.values()) > len(CASES) / 2
    assert sum(not case["rows"] for case in elsewhere.values()) < len(CASES) / 10


def test_the_dynamic_loss_scale_changed_and_steps_were_skipped() -> None:
    names = ("float16 with a scale that moves", "losses above a limit skipped")
    skipping, limited = (finish(started(OTHERS[name]))["rows"] for name in names)

    t = [float.fromhex(values[0]) for *_, values in skipping]
    assert t[-1] < STEPS - 1
    assert len({values[-1] for *_, values in skipping}) > 3  # scales
    assert [float.fromhex(values[0]) for *_, values in limited][-1] < STEPS - 1


def _forget_slots(run: Run) -> None:
    for by_name in run.optimizer.named_slots().values():
        for slot in by_name.values():
            slot.zero_()


def _forget_count(run: Run) -> None:
    counts = run.optimizer.named_counts()
    slots = {s: dict(t) for s, t in run.optimizer.named_slots().items()}
    run.optimizer.load_named(slots, dict.fromkeys(counts, 0))


def _forget_step(run: Run) -> None:
    run.row = 0


def _forget_position(run: Run) -> None:
    run.batches.position = 0


def _forget_order(run: Run) -> None:
    run.batches.order = torch.arange(len(run.dataset.train))


def _forget_statistics(run: Run) -> None:
    for layer in run.model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()


def _forget_ema(run: Run) -> None:
    assert run.ema is not None
    weights = run.model_tensors()
    run.ema.load({name: weights[name] for name in run.ema.tensors})


def _forget_gradients(run: Run) -> None:
    run.optimizer.zero_grad()


def _forget_batches(run: Run) -> None:
    run.micro = 0


def _forget_plateau(run: Run) -> None:
    for schedule in run.optimizer.metric_driven():
        schedule.load_state_dict(
            started(run.spec.model_dump()).optimizer.metric_driven()[0].state_dict()
        )


FORGOTTEN: dict[str, Callable[[Run], None]] = {
    "nothing": lambda run: None,
    "slots": _forget_slots,
    "the optimizer's count of steps": _forget_count,
    "the step": _forget_step,
    "the position in the epoch": _forget_position,
    "the order of the examples": _forget_order,
    "BatchNorm's statistics": _forget_statistics,
    "averaged weights": _forget_ema,
    "gradients of the step that was begun": _forget_gradients,
    "how many batches they are of": _forget_batches,
}
UNSEEN = ("BatchNorm's statistics", "averaged weights")
"""What no loss curve shows; the digest does."""


@pytest.mark.parametrize("what", FORGOTTEN)
def test_every_ingredient_of_a_checkpoint_matters(what: str, tmp_path: Path) -> None:
    spec = spec_of("adam")
    undisturbed = finish(started(spec))
    begun, rows = stopped(spec, 21)  # mid-epoch, and one batch into a step
    assert (begun.micro, begun.row) == (1, len(rows)) == (1, 9)
    saved = checkpoint.save(begun, Files(tmp_path))
    run = started(spec)
    checkpoint.restore(run, Files(tmp_path), saved.path)

    FORGOTTEN[what](run)
    resumed = finish(run)

    same = resumed["rows"] == undisturbed["rows"][9:], resumed["digest"] == undisturbed["digest"]
    if what == "nothing":
        assert same == (True, True)
    elif what in UNSEEN:
        assert same == (True, False)
    else:
        assert same == (False, False)


def test_a_checkpoint_from_where_bits_differ_is_refused(tmp_path: Path) -> None:
    spec = spec_of("adam")
    saved = checkpoint.save(after(spec, 10)[0], Files(tmp_path))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)

    try:
        with pytest.raises(CheckpointUnusable) as caught:
            checkpoint.restore(started(spec), Files(tmp_path), saved.path)
        checkpoint.restore(started(spec), Files(tmp_path), saved.path, exact=False)
    finally:
        torch.set_num_threads(threads)

    assert str(caught.value).endswith(
        f"cannot be resumed bit for bit: threads was {threads}, is {threads + 1}"
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
def test_a_schedule_that_follows_the_loss_resumes_with_its_state(
    forgets: bool, tmp_path: Path
) -> None:
    spec = {**spec_of("momentum"), **FOLLOWING}
    undisturbed = finish(started(spec))
    left, _ = after(spec, 22)
    saved = checkpoint.save(left, Files(tmp_path))
    run = started(spec)
    checkpoint.restore(run, Files(tmp_path), saved.path)
    assert (run.loss_sum, run.loss_count) == (left.loss_sum, left.loss_count)
    assert run.loss_count == 2  # it would be part of the next mean

    if forgets:
        _forget_plateau(run)
    resumed = finish(run)

    lrs = [float.fromhex(lr) for _, lr, *_ in undisturbed["rows"]]
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


def test_the_global_generators_are_restored_in_a_run_of_0_2_0(tmp_path: Path) -> None:
    """Its dropout draws from torch's; nothing of ours draws from those of Python and numpy."""

    def draws() -> tuple[float, ...]:
        numpys = float(np.random.random()), float(np.random.standard_normal())
        return random.random(), *numpys, float(torch.rand(()))

    with former_rules():
        run = after(spec_of("adam"), 3)[0]
    draws()
    saved = checkpoint.save(run, Files(tmp_path))
    expected = draws()
    with former_rules():
        resumed = started(spec_of("adam"))

    checkpoint.restore(resumed, Files(tmp_path), saved.path)

    assert draws() == expected


def test_gradients_of_a_resumed_run_are_divided_by_its_current_loss_scale(tmp_path: Path) -> None:
    """Momentum, unlike Adam, would take larger steps with another."""
    scale = {"kind": "dynamic", "start": 2.0**20, "window": 2}
    spec = spec_of("momentum", precision="fp16", loss_scale=scale, accumulate=1)
    undisturbed = finish(started(spec))
    run, rows = after(spec, 11)
    assert run.scaler is not None
    assert run.scaler.scale != 2.0**20
    saved = checkpoint.save(run, Files(tmp_path))
    resumed = started(spec)
    checkpoint.restore(resumed, Files(tmp_path), saved.path)

    assert rows + finish(resumed)["rows"] == undisturbed["rows"]


def test_a_checkpoint_that_lacks_something_is_unusable_not_a_crash(tmp_path: Path) -> None:
    saved = checkpoint.save(after(spec_of("adam"), 3)[0], Files(tmp_path))
    facts = json.loads((tmp_path / saved.path / "state.json").read_text())
    del facts["updates"]
    (tmp_path / saved.path / "state.json").write_text(json.dumps(facts))

    with pytest.raises(CheckpointUnusable, match="lacks an entry that the run needs: 'updates'"):
        checkpoint.restore(started(spec_of("adam")), Files(tmp_path), saved.path)
