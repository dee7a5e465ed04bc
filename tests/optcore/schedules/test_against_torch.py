"""torch's own schedulers, run beside ours on parameters nobody chose."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

import optcore
from tests.support.optcore.schedule_words import translated

STEPS = 48
POSITIVE = st.integers(1, 60)
FACTOR = st.floats(0.05, 0.99)
LOW = st.sampled_from([0.0, 0.001, 0.05, 0.3])

CLASSES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "StepLR": {"step_size": POSITIVE, "gamma": st.floats(0.05, 1.5)},
    "MultiStepLR": {
        "milestones": st.lists(st.integers(0, 60), min_size=1, max_size=6),
        "gamma": st.floats(0.05, 1.5),
    },
    "ConstantLR": {"factor": st.floats(0.01, 1), "total_iters": st.integers(0, 60)},
    "LinearLR": {
        "start_factor": st.floats(0.01, 1),
        "end_factor": st.floats(0, 1),
        "total_iters": st.integers(0, 60),
    },
    "ExponentialLR": {"gamma": st.floats(0.5, 1.2)},
    "PolynomialLR": {"total_iters": POSITIVE, "power": st.floats(0.3, 4)},
    "CosineAnnealingLR": {"T_max": POSITIVE, "eta_min": LOW},
    "CosineAnnealingWarmRestarts": {
        "T_0": POSITIVE,
        "T_mult": st.integers(1, 4),
        "eta_min": LOW,
    },
    "OneCycleLR": {
        "max_lr": st.floats(0.01, 2),
        "total_steps": st.integers(STEPS - 1, 200),
        "pct_start": st.floats(0.1, 0.45),
        "anneal_strategy": st.sampled_from(["cos", "linear"]),
        "div_factor": st.floats(2, 50),
        "final_div_factor": st.floats(2, 1e4),
        "three_phase": st.booleans(),
    },
    "CyclicLR": {
        "base_lr": st.floats(0.001, 0.1),
        "max_lr": st.floats(0.2, 1),
        "step_size_up": POSITIVE,
        "step_size_down": POSITIVE,
        "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
        "gamma": st.floats(0.9, 1),
    },
}
MULTIPLYING = ["StepLR", "ConstantLR", "ExponentialLR", "PolynomialLR", "MultiStepLR"]


@st.composite
def schedulers(draw: st.DrawFn, names: list[str]) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(names))
    params = {key: draw(strategy) for key, strategy in CLASSES[name].items() if draw(OFTEN)}
    required = {"StepLR": "step_size", "MultiStepLR": "milestones", "ExponentialLR": "gamma"}
    always = [required.get(name), "T_max", "T_0", "max_lr", "total_steps", "base_lr"]
    for key in always:
        if key in CLASSES[name] and key not in params:
            params[key] = draw(CLASSES[name][key])
    return name, params


OFTEN = st.sampled_from([True, True, True, False])


def run(make: Any, base: float) -> list[float]:
    """Return the lr of torch's scheduler, before every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base, momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        lrs = [optimizer.param_groups[0]["lr"]]
        while len(lrs) < STEPS:
            optimizer.step()
            scheduler.step()
            lrs.append(optimizer.param_groups[0]["lr"])
    return lrs


def run_of_batches(make: Any, base: float, *, accumulate: int, epoch: int) -> list[float]:
    """Return the lr of each update of a loop that steps torch's scheduler after every batch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base, momentum=0.9)
    lrs = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = make(optimizer)
        for batch in range(STEPS - 1):
            if (batch % epoch + 1) % accumulate == 0 or batch % epoch == epoch - 1:
                lrs.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
            scheduler.step()
    return lrs


def run_of_epochs(make: Any, base: float, *, epoch: int) -> list[float]:
    """Return the lr of each update of a loop that steps torch's scheduler after every epoch."""
    lrs = run(make, base)
    return [lrs[t // epoch] for t in range(STEPS)]


def close(name: str, params: dict[str, Any], base: float, theirs: list[float]) -> None:
    found = translated("torch", name, {**params, "lr": base}, drive="step()", steps=STEPS)
    schedule = optcore.make_schedule(found.spec, lr=found.lr, total_steps=found.total_steps(STEPS))
    atol = STEPS * 2.0**-53 * max([base, *theirs])  # torch's recursion rounds once a step
    np.testing.assert_allclose(schedule(np.arange(STEPS)), theirs, rtol=1e-12, atol=atol)


@settings(max_examples=300, deadline=None)
@given(schedulers(list(CLASSES)), st.floats(1e-3, 1))
def test_every_schedule_equals_torchs_scheduler(
    one: tuple[str, dict[str, Any]], base: float
) -> None:
    name, params = one

    theirs = run(lambda optimizer: getattr(lr_scheduler, name)(optimizer, **params), base)

    close(name, params, base, theirs)


@settings(max_examples=200, deadline=None)
@given(schedulers(list(CLASSES)), st.floats(1e-3, 1), st.integers(2, 7), st.integers(1, 20))
def test_a_schedule_per_batch_equals_a_scheduler_stepped_after_every_batch(
    one: tuple[str, dict[str, Any]], base: float, accumulate: int, epoch: int
) -> None:
    name, params = one

    theirs = run_of_batches(
        lambda optimizer: getattr(lr_scheduler, name)(optimizer, **params),
        base,
        accumulate=accumulate,
        epoch=epoch,
    )

    found = translated("torch", name, {**params, "lr": base}, drive="step()", steps=STEPS)
    whole, updates = divmod(found.total_steps(STEPS), epoch)
    per_epoch = -(-epoch // accumulate)
    schedule = optcore.make_schedule(
        {
            "kind": "per_batch",
            "accumulate": accumulate,
            "batches_per_epoch": epoch,
            "schedule": found.spec,
        },
        lr=found.lr,
        total_steps=whole * per_epoch + updates // accumulate,
        steps_per_epoch=per_epoch,
    )
    atol = STEPS * 2.0**-53 * max([base, *theirs])
    np.testing.assert_allclose(schedule(np.arange(len(theirs))), theirs, rtol=1e-12, atol=atol)


@settings(max_examples=60, deadline=None)
@given(schedulers(list(CLASSES)), st.floats(1e-3, 1), st.integers(1, 20))
def test_a_schedule_per_epoch_equals_a_scheduler_stepped_after_every_epoch(
    one: tuple[str, dict[str, Any]], base: float, epoch: int
) -> None:
    name, params = one

    theirs = run_of_epochs(
        lambda optimizer: getattr(lr_scheduler, name)(optimizer, **params), base, epoch=epoch
    )

    found = translated("torch", name, {**params, "lr": base}, drive="step()", steps=STEPS)
    schedule = optcore.make_schedule(
        {"kind": "per_epoch", "schedule": found.spec},
        lr=found.lr,
        total_steps=found.total_steps(STEPS) * epoch,
        steps_per_epoch=epoch,
    )
    atol = STEPS * 2.0**-53 * max([base, *theirs])
    np.testing.assert_allclose(schedule(np.arange(STEPS)), theirs, rtol=1e-12, atol=atol)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(schedulers([n for n in CLASSES if n != "OneCycleLR"]), min_size=2, max_size=3),
    st.integers(1, 20),
    st.integers(1, 20),
    st.floats(1e-3, 1),
)
def test_a_chain_equals_torchs_sequence(
    parts: list[tuple[str, dict[str, Any]]], first: int, second: int, base: float
) -> None:
    # A cyclic scheduler resets the lr that those after it begin from; torch divides by the
    # length of a line.
    parts = [p for p in parts if p[0] != "CyclicLR"]
    parts = [p for p in parts if p[0] != "LinearLR" or p[1].get("total_iters", 5)] or [
        ("ExponentialLR", {"gamma": 0.9})
    ]
    parts = parts if len(parts) > 1 else [*parts, ("StepLR", {"step_size": 3})]
    milestones = [first, first + second][: len(parts) - 1]

    theirs = run(
        lambda optimizer: lr_scheduler.SequentialLR(
            optimizer,
            [getattr(lr_scheduler, name)(optimizer, **params) for name, params in parts],
            milestones,
        ),
        base,
    )

    inner = [{"schedule": name, "params": params} for name, params in parts]
    close("SequentialLR", {"schedulers": inner, "milestones": milestones}, base, theirs)


@settings(max_examples=60, deadline=None)
@given(st.lists(schedulers(MULTIPLYING), min_size=1, max_size=3), st.floats(1e-3, 1))
def test_a_product_equals_torchs_chained_scheduler(
    parts: list[tuple[str, dict[str, Any]]], base: float
) -> None:
    theirs = run(
        lambda optimizer: lr_scheduler.ChainedScheduler(
            [getattr(lr_scheduler, name)(optimizer, **params) for name, params in parts],
            optimizer=optimizer,
        ),
        base,
    )

    inner = [{"schedule": name, "params": params} for name, params in parts]
    close("ChainedScheduler", {"schedulers": inner}, base, theirs)


@settings(max_examples=100, deadline=None)
@given(
    metrics=st.lists(st.floats(-2, 2), min_size=5, max_size=40),
    mode=st.sampled_from(["min", "max"]),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 4),
    threshold_mode=st.sampled_from(["rel", "abs"]),
    low=LOW,
)
def test_plateau_equals_torchs(metrics: list[float], low: float, **params: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, min_lr=low, **params)
    ours: Any = optcore.make_schedule(
        {"kind": "plateau", "dialect": "torch", "factor": 0.5, "min_lr": low, **params},
        lr=0.1,
        total_steps=100,
    )

    for metric in metrics:
        theirs.step(metric)
        ours.observe(metric)
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
