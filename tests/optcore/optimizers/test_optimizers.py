"""What every optimizer promises, in every dialect and engine."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import optcore
from tests.support.optcore.updates.optimizer_specs import LBFGS, engines, made, name_of, variants
from tests.support.optcore.updates.optimizer_steps import network, same_bits, train, weights
from tests.support.optcore.updates.saved_optimizers import save


def one_of_each_soon(specs: list[dict[str, Any]]) -> list[Any]:
    """Mark all but the first variant of each optimizer as long: they are hundreds."""
    seen: set[str] = set()
    found: list[Any] = []
    for spec in specs:
        found.append(pytest.param(spec, marks=pytest.mark.long) if spec["kind"] in seen else spec)
        seen.add(spec["kind"])
    return found


VARIANTS = variants()
WITH_RULES = [spec for spec in VARIANTS if spec is not LBFGS]
every_variant = pytest.mark.parametrize("spec", one_of_each_soon(VARIANTS), ids=name_of)
every_rule = pytest.mark.parametrize("spec", one_of_each_soon(WITH_RULES), ids=name_of)
ROOT = Path(__file__).parents[3]


def after(spec: dict[str, Any], steps: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    model = network(dtype)
    train(model, made(model.named_parameters(), spec), range(steps))
    return weights(model)


@every_variant
def test_it_equals_its_float64_oracle(spec: dict[str, Any]) -> None:
    oracle = after(spec if spec is LBFGS else {**spec, "engine": "eager"}, 3, torch.float64)

    ours = after(spec, 3)

    # Where a step has one size whatever the gradient (lion, rprop), a gradient that float32
    # cannot tell from 0 may go the other way: so the mean counts, not the worst coordinate.
    for a, b in zip(ours, oracle, strict=True):
        assert (a.double() - b).abs().mean() <= 1e-4


@every_variant
def test_equal_runs_give_equal_bits(spec: dict[str, Any]) -> None:
    assert same_bits(after(spec, 4), after(spec, 4))


@pytest.mark.long
def test_runs_saved_and_resumed_in_a_new_process_have_the_same_bits(tmp_path: Path) -> None:
    expected = []
    for i, spec in enumerate(VARIANTS):
        model = network()
        optimizer = made(model.named_parameters(), spec)
        train(model, optimizer, range(4))
        save(tmp_path / str(i), model, optimizer)
        train(model, optimizer, range(4, 7))
        expected.append(weights(model))

    subprocess.run(
        [sys.executable, "-m", "tests.support.optcore.updates.saved_optimizers", str(tmp_path)],
        cwd=ROOT,
        check=True,
    )

    for i, spec in enumerate(VARIANTS):
        resumed = load_file(tmp_path / str(i) / "after")
        assert same_bits([resumed[str(j)] for j in range(4)], expected[i]), name_of(spec)


@every_rule
def test_a_state_dict_continues_with_the_same_bits(spec: dict[str, Any]) -> None:
    model = network()
    optimizer = made(model.named_parameters(), spec)
    train(model, optimizer, range(4))
    copied_model = copy.deepcopy(model)
    again = made(copied_model.named_parameters(), {**spec, "lr": 0.5})
    again.load_state_dict(optimizer.state_dict())

    train(model, optimizer, range(4, 7))
    train(copied_model, again, range(4, 7))

    assert same_bits(weights(model), weights(copied_model))


@every_rule  # torch's L-BFGS moves it too, along what it was before
def test_a_parameter_without_a_gradient_keeps_its_value_slots_and_count(
    spec: dict[str, Any],
) -> None:
    model = network()
    optimizer = made(model.named_parameters(), spec)
    train(model, optimizer, range(2))
    before = weights(model)
    slots = {
        slot: by["2.bias"].clone() for slot, by in optimizer.named_slots().items() if "2.bias" in by
    }
    model(torch.ones(1, 300)).square().mean().backward()
    untouched = dict(model.named_parameters())["2.bias"]
    untouched.grad = None

    optimizer.step()

    assert torch.equal(untouched, before[3])
    assert all(torch.equal(optimizer.named_slots()[s]["2.bias"], slots[s]) for s in slots)
    assert optimizer.named_counts() == {"0.weight": 3, "0.bias": 3, "2.weight": 3, "2.bias": 2}


@every_rule
def test_two_groups_equal_two_optimizers(spec: dict[str, Any]) -> None:
    if isinstance(spec.get("clip"), dict) and spec["clip"]["kind"] == "global_norm":
        pytest.skip("a global norm is of all groups together")
    one, two = network(), network()
    other = {**spec, "lr": 0.02, "weight_decay": 0.1}
    groups = [{"match": "0.*", "lr": 0.02, "weight_decay": 0.1}]
    grouped = made(one.named_parameters(), {**spec, "groups": groups})
    named = list(two.named_parameters())
    pair = [made(named[:2], other), made(named[2:], spec)]

    train(one, grouped, range(3))
    for step in range(3):
        inputs = torch.randn(8, 300, generator=torch.Generator().manual_seed(step))
        two.zero_grad()
        two(inputs).square().mean().backward()
        for optimizer in pair:
            optimizer.step()

    assert same_bits(weights(one), weights(two))


@pytest.mark.parametrize(("kind", "engine"), engines()[:-1])
def test_a_scheduled_hyperparameter_equals_one_set_by_hand(kind: str, engine: str) -> None:
    ours, by_hand = network(), network()
    spec = {"kind": kind, "engine": engine, "lr": 0.01}
    scheduled = optcore.make_optimizer(
        ours.named_parameters(),
        {**spec, "weight_decay": {"kind": "linear", "value": 0.1, "end": 0.0}},
        total_steps=4,
    )
    manual = optcore.make_optimizer(by_hand.named_parameters(), {**spec, "weight_decay": 0.1})

    train(ours, scheduled, range(4))
    for step in range(4):
        for group in manual.param_groups:
            if "weight_decay" in group and group["weight_decay"] != 0.01:  # AdamW beside muon
                group["weight_decay"] = 0.1 * (1 - step / 4)
        train(by_hand, manual, range(step, step + 1))

    for a, b in zip(weights(ours), weights(by_hand), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["momentum", "nesterov", "rmsprop"])
@pytest.mark.parametrize(("start", "end"), [(0.9, 0.0), (0.0, 0.9)])
def test_momentum_may_rise_from_0_and_fall_to_0(kind: str, start: float, end: float) -> None:
    ours, by_hand = network(), network()
    moving = {"kind": "linear", "value": start, "end": end, "length": 4}
    scheduled = optcore.make_optimizer(
        ours.named_parameters(), {"kind": kind, "lr": 0.01, "momentum": moving}, total_steps=6
    )
    manual = optcore.make_optimizer(
        by_hand.named_parameters(),
        {"kind": kind, "lr": 0.01, "momentum": 0.5, "engine": "eager"},
    )

    train(ours, scheduled, range(6))
    for step in range(6):
        manual.param_groups[0]["momentum"] = start + (end - start) * min(step / 4, 1)
        train(by_hand, manual, range(step, step + 1))

    for a, b in zip(weights(ours), weights(by_hand), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
