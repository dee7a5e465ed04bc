"""What every optimizer promises, in every dialect and engine."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

import optcore
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from tests.support.optcore.contract import (
    LBFGS,
    engines,
    name_of,
    network,
    save,
    train,
    variants,
    weights,
)

VARIANTS = variants()
RULES = [spec for spec in VARIANTS if spec is not LBFGS]
every_variant = pytest.mark.parametrize("spec", VARIANTS, ids=name_of)
every_rule = pytest.mark.parametrize("spec", RULES, ids=name_of)
every_engine = pytest.mark.parametrize(("kind", "engine"), engines())
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def after(spec: dict[str, Any], steps: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    model = network(dtype)
    train(model, optcore.make_optimizer(model.named_parameters(), spec), range(steps))
    return weights(model)


def same_bits(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


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


def test_runs_saved_and_resumed_in_a_new_process_have_the_same_bits(tmp_path: Path) -> None:
    expected = []
    for i, spec in enumerate(VARIANTS):
        model = network()
        optimizer = optcore.make_optimizer(model.named_parameters(), spec)
        train(model, optimizer, range(4))
        save(tmp_path / str(i), model, optimizer)
        train(model, optimizer, range(4, 7))
        expected.append(weights(model))

    subprocess.run(
        [sys.executable, "-m", "tests.support.optcore.contract", str(tmp_path)],
        cwd=ROOT,
        check=True,
    )

    for i, spec in enumerate(VARIANTS):
        resumed = load_file(tmp_path / str(i) / "after")
        assert same_bits([resumed[str(j)] for j in range(4)], expected[i]), name_of(spec)


@every_rule  # torch's L-BFGS moves it too, along what it was before
def test_a_parameter_without_a_gradient_stays(spec: dict[str, Any]) -> None:
    model = network()
    optimizer = optcore.make_optimizer(model.named_parameters(), spec)
    train(model, optimizer, range(2))
    before = weights(model)
    model(torch.ones(1, 300)).square().mean().backward()
    untouched = dict(model.named_parameters())["2.bias"]
    untouched.grad = None

    optimizer.step()

    assert torch.equal(untouched, before[3])
    assert optimizer.named_counts() == {"0.weight": 3, "0.bias": 3, "2.weight": 3, "2.bias": 2}


@every_rule
def test_two_groups_equal_two_optimizers(spec: dict[str, Any]) -> None:
    if isinstance(spec.get("clip"), dict) and spec["clip"]["kind"] == "global_norm":
        pytest.skip("a global norm is of all groups together")
    one, two = network(), network()
    other = {**spec, "lr": 0.02, "weight_decay": 0.1}
    grouped = optcore.make_optimizer(
        one.named_parameters(),
        {**spec, "groups": [{"match": "0.*", "lr": 0.02, "weight_decay": 0.1}]},
    )
    named = list(two.named_parameters())
    pair = [
        optcore.make_optimizer(named[:2], other),
        optcore.make_optimizer(named[2:], spec),
    ]

    train(one, grouped, range(3))
    for step in range(3):
        inputs = torch.randn(8, 300, generator=torch.Generator().manual_seed(step))
        two.zero_grad()
        two(inputs).square().mean().backward()
        for optimizer in pair:
            optimizer.step()

    assert same_bits(weights(one), weights(two))


@pytest.mark.parametrize(("kind", "engine"), engines()[:-1])
def test_a_hyperparameter_on_a_schedule_is_what_a_hand_sets(kind: str, engine: str) -> None:
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


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "asgd", "t0": 1},
        {"kind": "schedule_free_adamw"},
        {"kind": "sgd", "average": {"momentum": 0.5}},
        {"kind": "adafactor", "average": {"momentum": 0.5}},
    ],
    ids=name_of,
)
def test_an_average_of_bfloat16_parameters_is_that_of_their_float32_copies(
    spec: dict[str, Any],
) -> None:
    low, high = network(torch.bfloat16), network()
    high.load_state_dict({k: v.float() for k, v in low.state_dict().items()})
    ours = optcore.make_optimizer(
        low.named_parameters(), {"lr": 0.1, "multi_precision": True, **spec}
    )
    wide = optcore.make_optimizer(high.named_parameters(), {"lr": 0.1, **spec})

    for _ in range(5):
        for a, b in zip(low.parameters(), high.parameters(), strict=True):
            a.grad = a.detach().sign()
            b.grad = a.grad.float()
        ours.step()
        wide.step()

    trained = weights(low)
    with ours.averaged(), wide.averaged():
        assert not same_bits(weights(low), trained)
        for stored, exact in zip(weights(low), weights(high), strict=True):
            torch.testing.assert_close(stored, exact.bfloat16(), rtol=0.01, atol=1e-5)
    assert same_bits(weights(low), trained)


@pytest.mark.parametrize("by_name", [False, True])
def test_a_restored_run_evaluates_on_the_same_average(by_name: bool) -> None:
    model, restored = network(), network()
    spec = {
        "kind": "schedule_free_adamw",
        "lr": 0.01,
        "beta1": {"kind": "linear", "value": 0.95, "end": 0.5},
    }
    optimizer, again = (
        optcore.make_optimizer(m.named_parameters(), spec, total_steps=10)
        for m in (model, restored)
    )
    train(model, optimizer, range(6))

    restored.load_state_dict(model.state_dict())
    if by_name:
        again.load_named(optimizer.named_slots(), optimizer.named_counts())
    else:
        again.load_state_dict(optimizer.state_dict())

    assert again.param_groups[0]["beta1"] == optimizer.param_groups[0]["beta1"]
    with optimizer.averaged(), again.averaged():
        assert same_bits(weights(restored), weights(model))


@pytest.mark.parametrize("kind", ["momentum", "nesterov", "rmsprop"])
@pytest.mark.parametrize(("start", "end"), [(0.9, 0.0), (0.0, 0.9)])
def test_momentum_may_come_and_go(kind: str, start: float, end: float) -> None:
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


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind != "lbfgs"])
def test_lr_may_rise_from_0(kind: str) -> None:
    model = network()
    before = weights(model)
    rising = {"kind": "linear", "value": 0.01, "start_fraction": 0.0, "end_fraction": 1.0}
    optimizer = optcore.make_optimizer(
        model.named_parameters(), {"kind": kind, "lr": rising}, total_steps=4
    )

    train(model, optimizer, range(1))
    if kind != "rprop":  # lr is the size of its first step alone
        assert same_bits(weights(model), before)
    train(model, optimizer, range(1, 4))

    assert not same_bits(weights(model), before)
    assert all(bool(torch.isfinite(weight).all()) for weight in weights(model))


LRS = (None, 0.01, 0.1, 1.0, 10.0)
"""The default, then a short fixed list."""


def parabola(p: Tensor) -> Tensor:
    return (p * torch.tensor([[1.0, 3.0], [0.5, 2.0]])).square().sum()


def rosenbrock(p: Tensor) -> Tensor:
    x, y = p[:, 0], p[:, 1]
    return ((1 - x).square() + 10 * (y - x * x).square()).sum()


def matrix(p: Tensor) -> Tensor:
    target = torch.tensor([[2.0, -1.0], [0.5, 1.5]])
    return (p @ target - torch.eye(2)).square().sum()


TARGETS: list[tuple[Callable[[Tensor], Tensor], float]] = [
    (parabola, 0.05),
    (rosenbrock, 0.3),
    (matrix, 0.1),
]


@every_engine
@pytest.mark.parametrize(("target", "bar"), TARGETS, ids=lambda x: getattr(x, "__name__", ""))
def test_it_converges(
    kind: str, engine: str, target: Callable[[Tensor], Tensor], bar: float
) -> None:
    """From `start` to a share of the loss there, with default hyperparameters and an lr of LRS."""
    wanted = bar * float(target(start().detach()))

    assert any(lowest({"kind": kind, "engine": engine}, lr, target) <= wanted for lr in LRS)


def start() -> Tensor:
    return torch.tensor([[-0.5, 1.5], [1.0, -1.0]], requires_grad=True)


def with_lr(spec: dict[str, Any], lr: float | None) -> dict[str, Any]:
    return spec if lr is None else {**spec, "lr": lr}


def lowest(spec: dict[str, Any], lr: float | None, target: Callable[[Tensor], Tensor]) -> float:
    param, best = start(), math.inf
    optimizer = optcore.make_optimizer([("w", param)], with_lr(spec, lr))

    def closure() -> float:
        optimizer.zero_grad()
        loss = target(param)
        loss.backward()
        return float(loss.detach())

    for _ in range(400):
        loss = optimizer.step(closure)
        assert loss is not None
        if not math.isfinite(loss):
            break
        best = min(best, loss)
    return best


@every_engine
def test_it_learns_digits(kind: str, engine: str) -> None:
    digits = load_digits()
    images = torch.tensor(digits.data[:600] / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target[:600])

    def loss_after(lr: float | None) -> float:
        torch.manual_seed(0)
        model = nn.Linear(64, 10)
        optimizer = optcore.make_optimizer(
            model.named_parameters(), with_lr({"kind": kind, "engine": engine}, lr)
        )

        def closure() -> float:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            return float(loss.detach())

        for _ in range(200):
            optimizer.step(closure)
        return closure()

    assert any(loss_after(lr) <= 1.0 for lr in LRS)  # from 2.3
