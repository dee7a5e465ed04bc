"""Hyperparameters that move, in rules whose numbers are carried from update to update."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer

RECORDED = json.loads(
    (Path(__file__).parents[3] / "trials" / "optimizers" / "moving.json").read_text()
)
CASES = {case["id"]: case for case in RECORDED["cases"]}
CARRIED = {"mu_product", "weight_sum", "weight_max", "weight_lr", "weight_power", "max_lr"}
GRADS = RECORDED["grads"]


def made(case: dict[str, Any]) -> tuple[torch.Tensor, FlatOptimizer]:
    param = torch.tensor(RECORDED["start"], dtype=torch.float64, requires_grad=True)
    schedules = {
        name: {"kind": "values", "values": values} for name, values in case.get("moved", {}).items()
    }
    optimizer = optcore.make_optimizer(
        [("w", param)],
        {**case["spec"], "schedules": schedules},
        schedule={"kind": "values", "values": case["lr"]},
        total_steps=len(case["lr"]),
    )
    return param, optimizer


def assert_close(found: list[Any], expected: list[Any]) -> None:
    in_double = [torch.tensor(numbers, dtype=torch.float64) for numbers in (found, expected)]
    torch.testing.assert_close(*in_double, rtol=1e-12, atol=1e-13)


def train(param: torch.Tensor, optimizer: FlatOptimizer, steps: range) -> list[list[float]]:
    found = []
    for k in steps:
        param.grad = torch.tensor(GRADS[k], dtype=torch.float64)
        optimizer.step()
        found.append(param.tolist())
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_update_is_that_of_the_library_beside_its_scheduler(name: str) -> None:
    case = CASES[name]
    param, optimizer = made(case)

    found = train(param, optimizer, range(len(GRADS)))

    assert_close(found, case["w"])
    if "evaluated" in case:
        with optimizer.averaged():
            assert_close(param.tolist(), case["evaluated"])


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_optimizer_continues_with_the_carried_numbers(name: str) -> None:
    param, optimizer = made(CASES[name])
    train(param, optimizer, range(23))
    slots = {s: {n: t.clone() for n, t in by.items()} for s, by in optimizer.named_slots().items()}
    again, resumed = made(CASES[name])
    again.data.copy_(param.detach())
    resumed.load_named(slots, optimizer.named_counts())

    assert CARRIED & slots.keys()
    steps = range(23, len(GRADS))
    assert train(again, resumed, steps) == train(param, optimizer, steps)


@pytest.mark.parametrize("name", CASES)
def test_a_loaded_state_dict_has_the_carried_numbers(name: str) -> None:
    param, optimizer = made(CASES[name])
    train(param, optimizer, range(23))
    again, resumed = made(CASES[name])
    again.data.copy_(param.detach())
    resumed.load_state_dict(optimizer.state_dict())

    steps = range(23, len(GRADS))
    assert train(again, resumed, steps) == train(param, optimizer, steps)


CONSTANT = [
    {"kind": "nadam", "lr": 0.02},
    {"kind": "nadam", "lr": 0.02, "dialect": "paddle"},
    {"kind": "schedule_free_adamw", "lr": 0.05, "warmup_steps": 30, "r": 0.5},
    {"kind": "schedule_free_sgd", "lr": 0.05, "dialect": "optax", "warmup_steps": 30},
]


@pytest.mark.parametrize("spec", CONSTANT, ids=str)
def test_a_state_without_carried_numbers_is_of_constant_hyperparameters(
    spec: dict[str, Any],
) -> None:
    """Releases up to 0.2.0 computed these numbers from the count, and saved none."""
    case = {"spec": spec, "lr": [spec["lr"]] * (len(GRADS) + 1)}
    param, optimizer = made(case)
    train(param, optimizer, range(23))
    again, resumed = made(case)
    again.data.copy_(param.detach())
    resumed.load_named(optimizer.named_slots(), optimizer.named_counts())

    assert not CARRIED & optimizer.named_slots().keys()
    steps = range(23, len(GRADS))
    assert train(again, resumed, steps) == train(param, optimizer, steps)
    assert not CARRIED & resumed.named_slots().keys()


def test_a_state_dict_of_an_earlier_release_has_no_weights() -> None:
    case = {"spec": CONSTANT[2], "lr": [0.05] * (len(GRADS) + 1)}
    param, optimizer = made(case)
    train(param, optimizer, range(23))
    state = optimizer.state_dict()
    state["state"] = {
        i: {name: value for name, value in of.items() if name not in CARRIED}
        for i, of in state["state"].items()
    }
    again, resumed = made(case)
    again.data.copy_(param.detach())
    resumed.load_state_dict(state)

    steps = range(23, len(GRADS))
    assert train(again, resumed, steps) == train(param, optimizer, steps)


def test_a_hyperparameter_that_was_changed_by_hand_is_saved_with_what_it_left() -> None:
    case = {"spec": CONSTANT[0], "lr": [0.02] * len(GRADS)}
    param, optimizer = made(case)
    train(param, optimizer, range(3))
    before = optimizer.named_slots().keys()
    optimizer.param_groups[0]["beta1"] = 0.5
    train(param, optimizer, range(3, 5))

    assert "mu_product" not in before
    assert "mu_product" in optimizer.named_slots()
