"""A schedule that counts batches, where an update accumulates several."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, SequentialLR

import optcore
from optcore.plan.preview import PreviewSpec
from optcore.schedules.make import parse_schedule
from optcore.spec.duration import RunLength
from optcore.spec.errors import SpecError
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run
from tests.support.optcore.runs.small import start, steps

NUMBERED = {"kind": "linear", "end": 0, "length": 1000}
DIGITS = {"kind": "digits", "batch_size": 100}
"""15 batches: with 4 per update, an epoch has 4 updates, the last of 3 batches."""


def per_batch(schedule: dict[str, Any], accumulate: int = 4, **fields: Any) -> dict[str, Any]:
    return {"kind": "per_batch", "accumulate": accumulate, "schedule": schedule, **fields}


def batches(spec: dict[str, Any], *, total_steps: int, steps_per_epoch: int) -> list[int]:
    """Return the batch whose lr each update has."""
    whole = total_steps * spec["accumulate"]
    listed = {"kind": "linear", "end": 0.0, "length": whole}
    made = optcore.make_schedule(
        {**spec, "schedule": listed},
        lr=whole,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )
    return [round(whole - lr) for lr in made(np.arange(total_steps))]


def test_an_update_has_the_lr_of_its_last_batch() -> None:
    assert batches(per_batch(NUMBERED), total_steps=5, steps_per_epoch=2) == [3, 7, 11, 15, 19]


def test_the_last_update_of_an_epoch_may_have_fewer_batches() -> None:
    spec = per_batch(NUMBERED, batches_per_epoch=10)

    found = batches(spec, total_steps=7, steps_per_epoch=3)

    assert found == [3, 7, 9, 13, 17, 19, 23]


def test_durations_inside_count_batches_and_epochs_of_batches() -> None:
    schedule = {"kind": "multi_step", "milestones": [9, {"epochs": 1.2}], "gamma": 0.5}
    spec = per_batch(schedule, batches_per_epoch=10)

    lrs = optcore.make_schedule(spec, lr=1, total_steps=7, steps_per_epoch=3)(np.arange(7))

    assert lrs.tolist() == [1, 1, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_the_run_inside_has_as_many_steps_as_the_run_has_batches() -> None:
    spec = per_batch({"kind": "values", "values": list(range(24))}, batches_per_epoch=10)

    made = optcore.make_schedule(spec, lr=1, total_steps=7, steps_per_epoch=3)

    assert made(np.arange(7)).tolist() == [3, 7, 9, 13, 17, 19, 23]


LOOPS: list[tuple[dict[str, Any], Any]] = [
    (
        {"kind": "cosine", "dialect": "torch", "length": {"epochs": 2}, "end": 0.01},
        lambda optimizer: CosineAnnealingLR(optimizer, 30, 0.01),
    ),
    (
        {"kind": "linear", "warmup": {"length": 7, "after": "overlap", "toward": "curve"}},
        lambda optimizer: LambdaLR(optimizer, lambda m: min(m / 7, 1) * (1 - m / 30)),
    ),
    (
        {
            "kind": "cosine",
            "length": 20,
            "warmup": {"length": 10, "start_fraction": 0.1, "after": "delay"},
        },
        lambda optimizer: SequentialLR(
            optimizer,
            [
                LambdaLR(optimizer, lambda m: 0.1 + 0.9 * m / 10),
                CosineAnnealingLR(optimizer, 20),
            ],
            [10],
        ),
    ),
]


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*", "ignore:.*epoch parameter.*")
@pytest.mark.parametrize(("schedule", "make"), LOOPS, ids=["cosine", "lambda", "sequence"])
def test_a_job_has_the_lr_of_a_loop_that_steps_the_scheduler_after_every_batch(
    schedule: dict[str, Any], make: Any
) -> None:
    """Of 15 batches in an epoch, 4 make an update; the scheduler steps after every batch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler: LRScheduler = make(optimizer)
    theirs = []
    for _ in range(2):
        for batch in range(15):
            if (batch + 1) % 4 == 0 or batch == 14:
                theirs.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
            scheduler.step()

    job = start(
        dataset=DIGITS,
        schedule=per_batch(schedule, batches_per_epoch=15),
        accumulate=4,
        epochs=2,
        evaluate_every=None,
    )

    ours = [report.lr for report in steps(job)]
    assert len(ours) == 8
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 9, 10, 11, 14, 23])
@pytest.mark.parametrize("per_epoch", [None, 10])
def test_a_warmup_inside_has_the_updates_whose_batches_are_in_it(
    length: int, per_epoch: int | None
) -> None:
    inner = {"kind": "constant", "warmup": {"length": length, "after": "delay"}}
    spec = per_batch(inner, batches_per_epoch=per_epoch)
    whole = RunLength(7, 3)

    lrs = optcore.make_schedule(spec, lr=1, total_steps=7, steps_per_epoch=3)(np.arange(7))

    assert parse_schedule(spec).num_warmup_steps(whole) == (lrs < 1).sum()


def test_a_recursion_inside_computes_every_batch() -> None:
    exponential = {"kind": "exponential", "rate": 0.99, "every": 1}
    single = {**exponential, "dialect": "torch", "precision": "float32"}
    whole = RunLength(100, 10)

    assert parse_schedule(per_batch(exponential)).cost(whole) == 200
    assert parse_schedule(per_batch(single)).num_repeated(whole) == 400
    assert parse_schedule(per_batch(single)).cost(whole) > 400


NESTED: list[tuple[dict[str, Any], str]] = [
    (
        per_batch(per_batch(NUMBERED)),
        "schedule inside a per_batch (which counts the batches itself) must not be or contain a "
        "per_batch, got",
    ),
    (
        per_batch({"kind": "scale", "factor": 2, "schedule": per_batch(NUMBERED)}),
        "schedule inside a per_batch (which counts the batches itself) must not be or contain a "
        "per_batch, got",
    ),
    (
        {"kind": "per_epoch", "schedule": per_batch(NUMBERED)},
        "schedule inside a per_epoch (which counts epochs) must not be or contain a per_batch, got",
    ),
    (per_batch(NUMBERED, accumulate=1), "accumulate must be at least 2, got 1"),
    (
        per_batch(NUMBERED, batches_per_epoch=8),
        "batches_per_epoch must be from 9 to 12 for 3 updates per epoch, of 4 batches each, got 8",
    ),
    (
        per_batch(NUMBERED, batches_per_epoch=13),
        "batches_per_epoch must be from 9 to 12 for 3 updates per epoch, of 4 batches each, got 13",
    ),
    (
        {"kind": "per_microbatch", "schedule": NUMBERED},
        "got 'per_microbatch'; did you mean 'per_batch'?",
    ),
    (
        per_batch({"kind": "cosine", "warmup": {"length": 24}}, batches_per_epoch=10),
        "length must be shorter than the run of 24 steps, got 24 steps",
    ),
]


@pytest.mark.parametrize(("spec", "message"), NESTED, ids=lambda value: str(value)[:40])
def test_what_cannot_count_batches_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        optcore.make_schedule(spec, lr=1, total_steps=7, steps_per_epoch=3)

    assert message in str(error.value)


def job(accumulate: int, **parts: Any) -> dict[str, Any]:
    training = {"steps": 20, "accumulate": accumulate}
    optimizer = {"kind": "momentum", "lr": 0.1, "momentum": 0.9, **parts.pop("optimizer", {})}
    return run(dataset=DIGITS, training=training, optimizer=optimizer, **parts)


INSIDE = {"kind": "product", "schedules": [{"kind": "cosine"}, per_batch(NUMBERED, 5)]}
MISFITS: list[tuple[dict[str, Any], str, str]] = [
    (
        job(1, schedule=per_batch(NUMBERED, 4)),
        "schedule.kind",
        "kind must not be per_batch where training.accumulate is 1: an update is a batch",
    ),
    (
        job(4, schedule=per_batch(NUMBERED, 5)),
        "schedule.accumulate",
        "accumulate must be 4, which is training.accumulate, got 5",
    ),
    (
        job(4, schedule=per_batch(NUMBERED, 4)),
        "schedule.batches_per_epoch",
        "batches_per_epoch must be 15, the number of batches of the data, got null",
    ),
    (
        job(4, schedule=per_batch(NUMBERED, 4, batches_per_epoch=14)),
        "schedule.batches_per_epoch",
        "batches_per_epoch must be 15, the number of batches of the data, got 14",
    ),
    (
        job(4, schedule=INSIDE),
        "schedule.schedules[1].accumulate",
        "accumulate must be 4, which is training.accumulate, got 5",
    ),
    (
        job(4, optimizer={"schedules": {"momentum": per_batch(NUMBERED, 5)}}),
        "optimizer.schedules.momentum.accumulate",
        "accumulate must be 4, which is training.accumulate, got 5",
    ),
    (
        job(4, optimizer={"groups": [{"match": "*.bias", "schedule": per_batch(NUMBERED, 5)}]}),
        "optimizer.groups[0].schedule.accumulate",
        "accumulate must be 4, which is training.accumulate, got 5",
    ),
]


@pytest.mark.parametrize(("data", "param", "message"), MISFITS, ids=lambda value: str(value)[:40])
def test_a_job_whose_batches_are_others_is_refused(
    data: dict[str, Any], param: str, message: str
) -> None:
    with pytest.raises(SpecError) as error:
        RunSpec.parse(data)

    assert (error.value.problems[0].param, error.value.problems[0].message) == (param, message)


def test_a_job_whose_updates_are_all_full_needs_no_number_of_batches() -> None:
    assert RunSpec.parse(job(5, schedule=INSIDE)).steps_per_epoch == 3


def test_a_preview_needs_no_job() -> None:
    preview = PreviewSpec.parse(
        {"schedule": per_batch(NUMBERED), "lr": 1, "total_steps": 7, "steps_per_epoch": 3}
    )

    assert preview.schedule.kind == "per_batch"
