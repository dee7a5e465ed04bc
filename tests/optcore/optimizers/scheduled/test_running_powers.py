"""Powers of betas that move, as Paddle and TF1 keep them: one factor from each update."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer

RECORDED = json.loads(
    (Path(__file__).parents[3] / "trials" / "optimizers" / "running_powers.json").read_text()
)
CASES = {case["id"]: case for case in RECORDED["cases"]}
DENSE = [name for name, case in CASES.items() if "rows" not in case]
POWERS = {"beta1_power", "beta2_power"}
WITHIN = {"float32": 1e-6, "float64": 1e-13}
# Paddle computes r in float32, where a difference of two large numbers loses four digits.
IN_FLOAT32 = {"radam-beta2-jumps": 1e-5}
KINDS = ("adam", "adamw", "lazy_adam", "adamax", "lamb", "radam", "nadam")


def made(case: dict[str, Any], *, moved: bool = True) -> tuple[Tensor, FlatOptimizer]:
    start = RECORDED["rows" if "rows" in case else "start"]
    param = torch.tensor(start, dtype=getattr(torch, case["dtype"]), requires_grad=True)
    schedules = {
        name: {"kind": "values", "values": values}
        for name, values in case["moved"].items()
        if moved
    }
    spec = {**case["spec"], "schedules": schedules}
    optimizer = optcore.make_optimizer([("w", param)], spec, total_steps=len(case["w"]))
    return param, optimizer


def gradient(case: dict[str, Any], k: int, like: Tensor) -> Tensor:
    numbers = torch.tensor(RECORDED["grads"][k], dtype=like.dtype)
    if "rows" not in case:
        return numbers
    rows = torch.tensor(case["rows"][k])
    values = torch.stack([numbers[rows % 4], numbers[(rows + 1) % 4]], dim=1)
    return torch.sparse_coo_tensor(rows[None], values, like.shape, check_invariants=True)


def train(
    case: dict[str, Any], param: Tensor, optimizer: FlatOptimizer, steps: range
) -> list[list[float]]:
    found = []
    for k in steps:
        param.grad = gradient(case, k, param)
        optimizer.step()
        found.append(param.detach().flatten().tolist())
    return found


@pytest.mark.parametrize("name", CASES)
def test_every_update_is_that_of_the_framework_with_the_betas_moved(name: str) -> None:
    case = CASES[name]
    param, optimizer = made(case)

    found = train(case, param, optimizer, range(len(case["w"])))

    within = IN_FLOAT32.get(name, WITHIN[case["dtype"]])
    in_double = [torch.tensor(values, dtype=torch.float64) for values in (found, case["w"])]
    torch.testing.assert_close(*in_double, rtol=within, atol=within)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("updates", [1, 6, 7])
def test_a_resumed_optimizer_continues_with_the_powers(
    name: str, by_name: bool, updates: int
) -> None:
    """After 7 updates the betas that jump are those of no update so far."""
    case = CASES[name]
    param, optimizer = made(case)
    train(case, param, optimizer, range(updates))
    again, resumed = made(case)
    again.data.copy_(param.detach())
    if by_name:
        slots = optimizer.named_slots()
        copied = {s: {n: t.clone() for n, t in by.items()} for s, by in slots.items()}
        resumed.load_named(copied, optimizer.named_counts())
    else:
        resumed.load_state_dict(optimizer.state_dict())

    steps = range(updates, len(case["w"]))
    assert train(case, again, resumed, steps) == train(case, param, optimizer, steps)
    assert POWERS & optimizer.named_slots().keys() == POWERS & resumed.named_slots().keys() != set()


@pytest.mark.parametrize("name", CASES)
def test_powers_of_constant_betas_are_not_saved(name: str) -> None:
    """Nor did releases up to 0.2.0, whose checkpoints are loaded so."""
    case = CASES[name]
    param, optimizer = made(case, moved=False)
    train(case, param, optimizer, range(5))
    again, resumed = made(case, moved=False)
    again.data.copy_(param.detach())
    resumed.load_named(optimizer.named_slots(), optimizer.named_counts())

    assert not POWERS & optimizer.named_slots().keys()
    steps = range(5, len(case["w"]))
    assert train(case, again, resumed, steps) == train(case, param, optimizer, steps)
    assert not POWERS & resumed.named_slots().keys()


def test_powers_of_constant_betas_keep_the_bits_of_powers_of_the_count() -> None:
    """With a beta1 that moves, beta2 is a constant too: 1 - 0.999 ** t, not a product."""
    moving = CASES["adam-beta1-jumps-float64"]
    constant = {**moving, "moved": {"beta2": [0.999] * 20}}
    case = {**moving, "moved": {"beta1": [0.9] * 20, "beta2": [0.999] * 20}}

    several = [train(each, *made(each), range(20)) for each in (constant, case)]
    several.append(train(moving, *made(moving, moved=False), range(20)))

    assert several[0] == several[1] == several[2]


def test_a_parameter_without_a_gradient_keeps_its_powers() -> None:
    case = CASES["adam-both"]
    first, second = (
        torch.tensor(RECORDED["start"], dtype=torch.float32, requires_grad=True) for _ in "ab"
    )
    schedules = {name: {"kind": "values", "values": v} for name, v in case["moved"].items()}
    optimizer = optcore.make_optimizer(
        [("first", first), ("second", second)],
        {**case["spec"], "schedules": schedules},
        total_steps=len(case["w"]),
    )
    for k in range(4):
        first.grad = gradient(case, k, first)
        second.grad = gradient(case, k, second) if k % 2 else None
        optimizer.step()

    powers = optimizer.named_slots()["beta1_power"]
    b = [float(torch.tensor(value, dtype=torch.float32)) for value in case["moved"]["beta1"]]
    torch.testing.assert_close(float(powers["first"]), b[0] * b[0] * b[1] * b[2] * b[3])
    torch.testing.assert_close(float(powers["second"]), b[1] * b[1] * b[3])


@pytest.mark.parametrize("kind", ["adam", "adamw", "adamax", "radam", "nadam"])
def test_a_state_of_torch_is_loaded_as_one_of_constant_betas(kind: str) -> None:
    """No state of torch has the power of a beta; that of NAdam has the product of mu."""
    spec = {"kind": kind, "lr": 0.05, "dialect": "torch"}
    case = {**CASES["adam-both"], "spec": spec, "moved": {}}
    param, optimizer = made(case)
    train(case, param, optimizer, range(5))
    again, loaded = made({**case, "spec": {**spec, "dialect": "paddle"}})
    loaded.load_state_dict(optimizer.state_dict())
    other, known = made({**case, "spec": {**spec, "dialect": "paddle"}})
    train(case, other, known, range(5))
    slots = {**known.named_slots(), **optimizer.named_slots()}
    known.load_named(slots, optimizer.named_counts())
    again.data.copy_(param.detach())
    other.data.copy_(param.detach())

    steps = range(5, 12)
    found, expected = train(case, again, loaded, steps), train(case, other, known, steps)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_dialects_without_a_running_power_take_the_current_beta(kind: str) -> None:
    dialect = {"lamb": "article", "lazy_adam": "mindspore"}.get(kind, "torch")
    spec = {"kind": kind, "lr": 0.05, "dialect": dialect}
    case = {**CASES["adam-both-float64"], "spec": spec}
    param, optimizer = made(case)

    train(case, param, optimizer, range(5))

    assert not POWERS & optimizer.named_slots().keys()
