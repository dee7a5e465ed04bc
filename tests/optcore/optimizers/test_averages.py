"""Parameters to evaluate on, where they differ from those that are trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import optcore
from tests.support.optcore.updates.optimizer_specs import made, name_of
from tests.support.optcore.updates.optimizer_steps import network, same_bits, train, weights


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "asgd", "t0": 1},
        {"kind": "schedule_free_adamw"},
        {"kind": "sgd", "ema": {"kind": "keras", "decay": 0.5}},
        {"kind": "adafactor", "ema": {"kind": "keras", "decay": 0.5}},
    ],
    ids=name_of,
)
def test_an_average_of_bfloat16_parameters_is_that_of_their_float32_copies(
    spec: dict[str, Any],
) -> None:
    low, high = network(torch.bfloat16), network()
    high.load_state_dict({k: v.float() for k, v in low.state_dict().items()})
    ours = made(low.named_parameters(), {"lr": 0.1, "multi_precision": True, **spec})
    wide = made(high.named_parameters(), {"lr": 0.1, **spec})

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


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "nadam"},
        {"kind": "nadam", "dialect": "keras"},
        {"kind": "adam", "dialect": "paddle"},
    ],
    ids=name_of,
)
def test_the_average_of_a_rule_that_carries_numbers_is_of_the_parameters(
    spec: dict[str, Any],
) -> None:
    values = [torch.tensor([1.0, -2.0, 3.0], requires_grad=True)]
    ours = made([("w", values[0])], {"lr": 0.1, **spec, "ema": {"kind": "keras", "decay": 0.5}})

    average = None  # the first one is the parameter after its first update
    for _ in range(3):
        values[0].grad = values[0].detach().sign()
        ours.step()
        now = values[0].detach().clone()
        average = now if average is None else (average + now) / 2

    with ours.averaged():
        torch.testing.assert_close(values[0].detach(), average)


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
