"""What training can do, through the whole service: skipped steps, columns, averages, early ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from optserve.client import Client
from optserve.contract.states import Reason, State
from tests.support.machine.processes import kill
from tests.support.service.jobs import SHORT, begun, finished, trainer_of

EVERYTHING: dict[str, Any] = {
    **SHORT,
    "optimizer": {**SHORT["optimizer"], "clip": {"kind": "global_norm", "max": 1.0}},
    "training": {
        "steps": 900,
        "seed": 3,
        "precision": "fp16",
        "loss_scale": {"kind": "dynamic", "start": 2.0**40, "window": 20},
        "accumulate": 2,
        "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
        "ema": {"decay": 0.99},
        "lookahead": {"every": 5},
        "evaluate_every": 100,
        "top_k": 3,
        "confusion": True,
        "checkpoint_every": 300,
        "columns": ["grad_norm", "update_ratio", "loss_scale", "examples_per_s", "memory_mb"],
    },
}


@pytest.mark.long
def test_a_job_with_everything_switched_on_survives_its_trainers(service: Client) -> None:
    """Killed twice, it gives the same computed columns, lr and digest as left alone."""
    alone = finished(service, service.submit(EVERYTHING).id)
    job_id = service.submit(EVERYTHING).id
    for steps in (120, 420):
        running = begun(service, job_id, steps=steps)
        (worker,) = [w for w in service.workers() if w.id == running.worker]
        kill(trainer_of(worker.pid))
        begun(service, job_id, steps=steps + 1)

    job = finished(service, job_id)

    assert (job.state, job.outcome, job.step) == (State.SUCCEEDED, "completed", 900)
    assert job.attempt == 3
    assert job.verified_rows > 0
    assert job.lr_off_plan_at is None
    assert job.digest == alone.digest
    computed = ("lr", "loss", "t", "grad_norm", "update_ratio", "loss_scale")
    rows, expected = (list(service.metrics(each.id)) for each in (job, alone))
    assert [row.step for row in rows] == list(range(900))
    for name in computed:
        ours, theirs = ([row.value(name).hex() for row in each] for each in (rows, expected))
        assert ours == theirs, name
    assert 0 < rows[-1].value("t") < 899  # steps were skipped, and are rows
    assert min(row.value("examples_per_s") for row in rows) > 0
    assert job.result is not None
    assert sum(map(sum, job.result.matrices["test_confusion"])) == 297
    assert "ema_test_accuracy" in job.result.metrics
    assert sorted(job.artifacts) == ["ema.safetensors", "model.safetensors"]


HELD_OUT = {"kind": "digits", "batch_size": 100, "validation": 300}
"""Digits with 12 batches to train on."""


def test_the_averaged_weights_are_a_file_beside_the_network(
    service: Client, tmp_path: Path
) -> None:
    training = {"epochs": 2, "seed": 3, "ema": {"decay": 0.5}}
    job = finished(service, service.submit({**SHORT, "training": training}).id)

    for name in job.artifacts:
        service.download(job.id, name, tmp_path / name)

    averaged, network = (load_file(tmp_path / name) for name in sorted(job.artifacts))
    assert averaged.keys() == network.keys()
    assert all(averaged[name].shape == network[name].shape for name in network)
    assert any((averaged[name] != network[name]).any() for name in network)


def test_a_job_that_no_longer_gets_better_ends_early_and_has_succeeded(service: Client) -> None:
    patient = {"metric": "val_accuracy", "patience": 2, "min_delta": 0.5}
    training = {"epochs": 50, "seed": 3, "early_stopping": patient}

    spec = {**SHORT, "dataset": HELD_OUT, "training": training}

    job = finished(service, service.submit(spec).id)

    assert (job.state, job.outcome) == (State.SUCCEEDED, "early_stopped")
    assert 12 <= job.step < job.total_steps == 600
    assert job.result is not None
    assert job.result.metrics.keys() == {
        *("val_loss", "val_accuracy", "test_loss", "test_accuracy"),
    }
    assert len(list(service.metrics(job.id))) == job.step


def test_a_job_that_diverges_names_the_step_and_its_last_good_checkpoint(service: Client) -> None:
    """Its lr grows by a third a step, from a useful one to one that destroys the weights."""
    spec = {
        **SHORT,
        "optimizer": {"kind": "sgd", "lr": 0.01, "weight_decay": 0.01},
        "schedule": {"kind": "exponential", "rate": 1.33, "every": 1},
        "training": {"steps": 300, "seed": 3, "checkpoint_every": 5, "evaluate_every": None},
    }

    job = finished(service, service.submit(spec).id)

    assert (job.state, job.reason) == (State.FAILED, Reason.DIVERGED)
    assert job.detail is not None
    last = len(list(service.metrics(job.id))) - 1
    assert f"at step {last}; the last checkpoint is from step {job.checkpoint_step}" in job.detail
    assert 0 < job.checkpoint_step <= last


@pytest.mark.parametrize("loss", ["mse", "bce", "huber"])
def test_other_losses_are_trained(service: Client, loss: str) -> None:
    training = {"epochs": 3, "seed": 3, "loss": {"kind": loss}}

    job = finished(service, service.submit({**SHORT, "training": training}).id)

    rows = list(service.metrics(job.id))
    assert job.state is State.SUCCEEDED
    assert rows[-1].loss < rows[0].loss


def test_the_best_is_kept_whatever_comes_later(service: Client, tmp_path: Path) -> None:
    """Its lr grows until it unlearns; killed after its best, it still has it."""
    spec = {
        **SHORT,
        "dataset": HELD_OUT,
        "optimizer": {"kind": "sgd", "lr": 0.05},
        "schedule": {"kind": "exponential", "rate": 1.6, "every": 100},
        "training": {
            "steps": 1500,
            "seed": 3,
            "evaluate_every": 50,
            "checkpoint_every": 400,
            "keep_best": "val_loss",
            "on_divergence": "skip",
        },
    }
    job_id = service.submit(spec).id
    running = begun(service, job_id, steps=900)
    (worker,) = [w for w in service.workers() if w.id == running.worker]
    kill(trainer_of(worker.pid))

    job = finished(service, job_id)

    looks = [event.data for event in service.events(job_id) if event.kind == "evaluated"]
    best = min(looks, key=lambda look: (float(look["val_loss"]), look["step"]))
    assert job.best is not None
    assert (job.best.step, job.best.value) == (best["step"], best["val_loss"])
    assert 0 < job.best.step < 1500
    assert sorted(job.artifacts) == ["best.safetensors", "model.safetensors"]
    clone = service.clone(job_id, source="best", changes={"training": {"steps": 1, "epochs": None}})
    first = next(iter(service.metrics(finished(service, clone.id).id)))
    assert first.loss < looks[-1]["val_loss"]


@pytest.mark.parametrize(
    ("spec", "metric", "good"),
    [
        (
            {
                "model": {"kind": "mlp", "hidden": []},
                "dataset": {"kind": "diabetes", "batch_size": 354},
                "optimizer": {"kind": "lbfgs", "lr": 1.0},
                "schedule": {"kind": "constant"},
                "training": {"steps": 50, "loss": {"kind": "mse"}},
            },
            "rmse",
            lambda rmse: abs(rmse / 53.946386804 - 1) < 0.01,  # least squares
        ),
        (
            {
                "model": {"kind": "mlp", "hidden": [64]},
                "dataset": {"kind": "digit_segments"},
                "optimizer": {"kind": "adam", "lr": 0.01},
                "training": {"epochs": 10, "loss": {"kind": "bce"}, "metrics": ["macro_f1"]},
            },
            "macro_f1",
            lambda f1: f1 > 0.9,
        ),
        (
            {
                "model": {
                    "kind": "sequential",
                    "layers": [
                        {"kind": "conv2d", "out_channels": 24, "kernel_size": 3, "padding": 1},
                        {"kind": "relu"},
                        {"kind": "max_pool2d", "kernel_size": 2},
                        {"kind": "conv2d", "out_channels": 48, "kernel_size": 4},
                        {"kind": "relu"},
                        {"kind": "conv2d", "out_channels": 11, "kernel_size": 1},
                    ],
                },
                "dataset": {"kind": "digit_lines", "batch_size": 50},
                "optimizer": {"kind": "adam", "lr": 0.005},
                "schedule": {"kind": "cosine"},
                "training": {"epochs": 6, "loss": {"kind": "ctc"}},
            },
            "character_error_rate",
            lambda rate: rate < 0.2,
        ),
    ],
    ids=["regression", "several labels", "sequences"],
)
def test_other_tasks_are_trained(
    service: Client, spec: dict[str, Any], metric: str, good: Callable[[float], bool]
) -> None:
    job = finished(service, service.submit(spec).id)

    assert job.state is State.SUCCEEDED, job.detail
    assert job.result is not None
    assert good(job.result.test[metric]), job.result
