"""A run that goes on in another process is the same run: every lr, every loss, every tensor."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.errors import SpecError
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.run import RunSpec
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.files import CheckpointUnusable
from optcore.training.loop import train
from optcore.training.reports import Evaluation, StepReport
from optcore.training.run import Run
from optcore.training.seeds import seed_everything
from tests.support.optcore.continuing import NOWHERE, finish, row_of

SEED = 20
STEPS = 24
"""Of a run, 8 to the epoch."""
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
COSINE = {"kind": "cosine"}
SHORT: list[dict[str, Any]] = [
    {"kind": "constant", "factor": 0.5, "length": 9},
    {"kind": "piecewise", "boundaries": [5, 13], "values": [0.01, 0.004, 0.001]},
    {"kind": "step", "every": 7, "gamma": 0.6},
    {"kind": "multi_step", "milestones": [6, 16], "gamma": 0.3},
    {"kind": "multiplicative", "factors": [0.9] * 10},
    {"kind": "values", "values": [0.01 - i * 1e-4 for i in range(STEPS)]},
    {**COSINE, "warmup": {"length": 5}},
    {"kind": "linear"},
    {"kind": "polynomial", "power": 2.0},
    {"kind": "tanh"},
    {"kind": "rex"},
    {"kind": "wsd", "decay": 8},
    {"kind": "exponential", "rate": 0.5, "every": 8},
    {"kind": "natural_exponential", "rate": 1.0, "every": 8},
    {"kind": "inverse_time", "rate": 1.0, "every": 8},
    {"kind": "noam", "d_model": 64, "warmup_steps": 6},
    {"kind": "inverse_sqrt", "timescale": 5},
    {"kind": "cosine_restarts", "length": 7},
    {"kind": "cyclical_cosine", "length": 7},
    {"kind": "two_step_cosine", "first": 9},
    {"kind": "linear_cosine"},
    {"kind": "noisy_linear_cosine", "seed": 1},
    {"kind": "one_cycle"},
    {"kind": "cyclic", "base": 0.001, "up": 5},
    {"kind": "plateau", "metric": "train_loss", "patience": 0, "threshold": 0.5},
    {"kind": "greedy", "metric": "train_loss", "patience": 0},
    {"kind": "chain", "schedules": [{"kind": "linear"}, COSINE], "boundaries": [9]},
    {"kind": "cycle", "schedule": {"kind": "rex"}, "length": 9, "factor": 0.7},
    {"kind": "scale", "schedule": COSINE, "factor": 0.5},
    {"kind": "product", "schedules": [COSINE, {"kind": "cyclic", "base": 0.5, "up": 5}]},
    {"kind": "clamp", "schedule": COSINE, "min": 0.002, "max": 0.008},
    {"kind": "noise", "schedule": COSINE, "std": 0.001, "begin": 5},
    {"kind": "per_epoch", "schedule": COSINE},
    {"kind": "shift", "schedule": COSINE, "by": 5},
]
"""A schedule of every kind."""


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """Set what a trainer sets, which is part of the fingerprint."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def spec_of(optimizer: str, schedule: object = None, **training: object) -> dict[str, Any]:
    """A run with shuffling, dropout, BatchNorm, accumulation and averaged weights."""
    alone = optimizer == "lbfgs"
    return {
        "model": NETWORK,
        "dataset": {"kind": "digits", "batch_size": 190 if alone else 95},
        "optimizer": {"kind": optimizer, "lr": 0.01},
        "schedule": schedule or ({"kind": "constant"} if alone else SHORT[6]),
        "training": {
            "steps": STEPS,
            "seed": 5,
            "accumulate": 1 if alone else 2,
            "ema": {"decay": 0.9},
            "evaluate_every": 5,
            **training,
        },
    }


def cases(kind: str, precision: str) -> dict[str, dict[str, Any]]:
    """One optimizer with every schedule."""
    return {
        f"{kind}-{schedule['kind']}-{precision}": spec_of(kind, schedule, precision=precision)
        for schedule in SHORT
    }


OTHERS = {
    "float16 with a scale that moves": spec_of(
        "adam",
        precision="fp16",
        loss_scale={"kind": "dynamic", "start": 2.0**40, "window": 3},
        columns=["grad_norm", "update_ratio", "loss_scale"],
    ),
    "bfloat16 parameters with float32 copies": {
        **spec_of("adam", precision="bf16_true"),
        "optimizer": {"kind": "adam", "lr": 0.01, "multi_precision": True},
    },
    "lookahead, and gradients clipped together": spec_of(
        "momentum", lookahead={"every": 3}, clip={"kind": "global_norm", "max": 0.5}
    ),
    "lbfgs with one iteration a step": {
        **spec_of("lbfgs"),
        "optimizer": {"kind": "lbfgs", "lr": 0.1, "max_iter": 1},
    },
    "losses above a limit skipped": spec_of(
        "sgd", on_divergence="skip", loss_limit=2.2, accumulate=3
    ),
}
CASES = {**{kind: spec_of(kind) for kind in OPTIMIZERS}, **cases("adam", "fp32"), **OTHERS}
"""Every optimizer with one schedule, and one of them with every schedule."""
RARER = {
    name: spec
    for kind, precision in product(("momentum", "adam", "lion"), ("fp32", "bf16"))
    for name, spec in cases(kind, precision).items()
    if name not in CASES
}
"""Three optimizers with every schedule in two precisions."""


def test_every_schedule_and_optimizer_is_among_the_cases() -> None:
    assert {schedule["kind"] for schedule in SHORT} == set(SCHEDULES)
    assert set(OPTIMIZERS) < set(CASES)


def started(spec: dict[str, Any]) -> Run:
    return Run.start(RunSpec.parse(spec), data_dir=NOWHERE)


def stopped(spec: dict[str, Any], reports: int) -> tuple[Run, list[list[Any]]]:
    """Return the run after so many reports, signs of life among them, and its rows so far."""
    run, rows = started(spec), list[list[Any]]()
    for report in islice(train(run), reports):
        if isinstance(report, StepReport):
            rows.append(row_of(report))
    return run, rows


def after(spec: dict[str, Any], step: int) -> tuple[Run, list[list[Any]]]:
    """Return the run after *step* steps, and its rows."""
    run, rows = started(spec), list[list[Any]]()
    for report in train(run):
        if isinstance(report, StepReport):
            rows.append(row_of(report))
        if len(rows) == step:
            break
    return run, rows


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a new process makes of a checkpoint of each case, with the rows before it."""
    return continued(CASES, tmp_path_factory.mktemp("resume"))


@pytest.fixture(scope="module")
def rarer_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What another one makes of those of the rarer cases."""
    return continued(RARER, tmp_path_factory.mktemp("resume"))


def continued(cases: dict[str, dict[str, Any]], folder: Path) -> dict[str, dict[str, Any]]:
    """Return what one new process makes of a checkpoint of each case, with the rows before it."""
    draw = random.Random(SEED)
    torch.use_deterministic_algorithms(True)
    before, asked = [], []
    for i, spec in enumerate(cases.values()):
        total = 2 * STEPS if spec["training"]["accumulate"] > 1 else STEPS
        run, rows = stopped(spec, draw.randrange(1, total))
        saved = checkpoint.save(run, folder / str(i))
        before.append({"before": rows, "micro": run.micro, "position": run.batches.position})
        asked.append({"spec": spec, "checkpoint": str(saved.path), "sha256": saved.sha256})
    (folder / "cases.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "tests.support.optcore.continuing"]
    subprocess.run([*command, str(folder / "cases.json"), str(folder / "results.json")], check=True)
    results = json.loads((folder / "results.json").read_text())
    return {
        name: {**known, **result}
        for name, known, result in zip(cases, before, results, strict=True)
    }


@pytest.mark.parametrize("name", CASES)
def test_a_run_goes_on_in_a_new_process_with_the_same_bits(
    name: str, elsewhere: dict[str, dict[str, Any]]
) -> None:
    goes_on(CASES[name], elsewhere[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", RARER)
def test_every_schedule_goes_on_with_three_optimizers_in_two_precisions(
    name: str, rarer_elsewhere: dict[str, dict[str, Any]]
) -> None:
    goes_on(RARER[name], rarer_elsewhere[name])


def goes_on(spec: dict[str, Any], resumed: dict[str, Any]) -> None:
    """Compare what was resumed with the same run, undisturbed."""
    undisturbed = finish(started(spec))

    assert resumed["before"] + resumed["rows"] == undisturbed["rows"], f"seed {SEED}"
    assert resumed["digest"] == undisturbed["digest"], f"seed {SEED}"
    assert len(undisturbed["rows"]) == STEPS


def test_the_moments_are_mid_epoch_and_mid_accumulation(
    elsewhere: dict[str, dict[str, Any]],
) -> None:
    within = [case for case in elsewhere.values() if case["micro"]]

    assert len(within) > len(CASES) / 4
    assert sum(case["position"] % 1500 > 0 for case in elsewhere.values()) > len(CASES) / 2
    assert sum(not case["rows"] for case in elsewhere.values()) < len(CASES) / 10


def test_the_scale_that_moves_did_move_and_steps_were_skipped() -> None:
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


def _forget_generator(run: Run) -> None:
    seed_everything(run.spec.training.seed)


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
    for schedule in run.optimizer.followed():
        schedule.load_state_dict(
            started(run.spec.model_dump()).optimizer.followed()[0].state_dict()
        )


FORGOTTEN: dict[str, Callable[[Run], None]] = {
    "nothing": lambda run: None,
    "slots": _forget_slots,
    "the optimizer's count of steps": _forget_count,
    "the step": _forget_step,
    "the position in the epoch": _forget_position,
    "the order of the examples": _forget_order,
    "torch's generator": _forget_generator,
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
    begun, rows = stopped(spec, 22)  # mid-epoch, and one batch into a step
    assert (begun.micro, begun.row) == (1, len(rows)) == (1, 9)
    saved = checkpoint.save(begun, tmp_path)
    run = started(spec)
    checkpoint.restore(run, saved.path)

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
    saved = checkpoint.save(after(spec, 10)[0], tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)

    try:
        with pytest.raises(CheckpointUnusable) as caught:
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
    left, _ = after(spec, 22)
    saved = checkpoint.save(left, tmp_path)
    run = started(spec)
    checkpoint.restore(run, saved.path)
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


def test_generators_of_python_and_numpy_go_on_too(tmp_path: Path) -> None:
    """Nothing of ours draws from them; a layer or a dataset of somebody else's might."""

    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(np.random.standard_normal())

    run = after(spec_of("adam"), 3)[0]
    draws()
    saved = checkpoint.save(run, tmp_path)
    expected = draws()
    resumed = started(spec_of("adam"))

    checkpoint.restore(resumed, saved.path)

    assert draws() == expected


@pytest.mark.parametrize("which", [0, -1])
def test_a_run_saved_right_after_an_evaluation_does_not_repeat_it(
    which: int, tmp_path: Path
) -> None:
    """Also after the one that ends it: it stays ended."""
    patient = {"patience": 1, "min_delta": 9.0}
    spec = spec_of("adam", early_stopping=patient, keep_best="test_accuracy")
    whole = list(train(started(spec)))
    ends = [i for i, report in enumerate(whole) if isinstance(report, Evaluation)]
    run = stopped(spec, ends[which] + 1)[0]
    saved = checkpoint.save(run, tmp_path)
    resumed = started(spec)
    checkpoint.restore(resumed, saved.path)

    rest = list(train(resumed))

    assert rest == whole[ends[which] + 1 :]
    assert resumed.stopped
    assert resumed.row < STEPS


def test_a_loss_scale_that_has_moved_is_what_gradients_are_divided_by(tmp_path: Path) -> None:
    """Momentum, unlike Adam, would take larger steps with another."""
    scale = {"kind": "dynamic", "start": 2.0**20, "window": 2}
    spec = spec_of("momentum", precision="fp16", loss_scale=scale, accumulate=1)
    undisturbed = finish(started(spec))
    run, rows = after(spec, 11)
    assert run.scaler is not None
    assert run.scaler.scale != 2.0**20
    saved = checkpoint.save(run, tmp_path)
    resumed = started(spec)
    checkpoint.restore(resumed, saved.path)

    assert rows + finish(resumed)["rows"] == undisturbed["rows"]


def test_a_checkpoint_that_lacks_something_is_unusable_not_a_crash(tmp_path: Path) -> None:
    saved = checkpoint.save(after(spec_of("adam"), 3)[0], tmp_path)
    facts = json.loads((saved.path / "state.json").read_text())
    del facts["updates"]
    (saved.path / "state.json").write_text(json.dumps(facts))

    with pytest.raises(CheckpointUnusable, match="does not hold 'updates'"):
        checkpoint.restore(started(spec_of("adam")), saved.path)
