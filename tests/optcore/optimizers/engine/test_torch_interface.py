"""A FlatOptimizer behaves as any torch.optim.Optimizer: closures, hooks, profiler."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import optcore
from optcore.optimizers.engine.optimizer import FlatOptimizer
from tests.support.optcore.updates.optimizer_steps import network, train, weights


def test_closures_schedulers_and_hooks_of_torch_work() -> None:
    model = network(torch.float64)
    optimizer = optcore.make_optimizer(model.named_parameters(), {"kind": "adam", "lr": 0.1})
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    calls = []
    optimizer.register_step_post_hook(lambda *_: calls.append(1))

    def closure() -> float:
        optimizer.zero_grad()
        loss = model(torch.ones(1, 300, dtype=torch.float64)).square().mean()
        loss.backward()
        return float(loss.detach())

    loss = optimizer.step(closure)
    scheduler.step()

    assert isinstance(optimizer, torch.optim.Optimizer)
    assert isinstance(optimizer, FlatOptimizer)
    assert loss > 0
    assert calls == [1]
    assert optimizer.param_groups[0]["lr"] == 0.05


def events(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[tuple[object, ...]]:
    """Return what hooks see of two steps; the hooks are removed before a third."""
    seen: list[tuple[object, ...]] = []

    def hook(name: str) -> Callable[..., None]:
        def record(given: object, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            assert given is args[0] is optimizer
            seen.append((name, args[1:], kwargs))

        return record

    handles = [
        optimizer.register_step_pre_hook(hook("pre")),
        optimizer.register_step_post_hook(hook("post")),
        register_optimizer_step_pre_hook(hook("global pre")),
        register_optimizer_step_post_hook(hook("global post")),
    ]
    train(model, optimizer, range(2))
    for handle in handles:
        handle.remove()
    train(model, optimizer, range(1))
    return seen


def test_hooks_are_called_as_torch_calls_them_and_not_after_they_are_removed() -> None:
    ours, theirs = network(torch.float64), network(torch.float64)
    mine = optcore.make_optimizer(ours.named_parameters(), {"kind": "adam", "lr": 0.01})
    torchs = torch.optim.Adam(theirs.parameters(), lr=0.01)

    seen, expected = events(ours, mine), events(theirs, torchs)

    assert seen == expected
    assert len(seen) == 8
    for a, b in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("number", range(4))
def test_each_kind_of_hook_alone_is_called(number: int) -> None:
    """A step without hooks takes a way of its own: none of them may be forgotten there."""
    model = network(torch.float64)
    optimizer = optcore.make_optimizer(model.named_parameters(), {"kind": "adam"})
    register = [
        optimizer.register_step_pre_hook,
        optimizer.register_step_post_hook,
        register_optimizer_step_pre_hook,
        register_optimizer_step_post_hook,
    ][number]
    calls: list[int] = []

    handle = register(lambda *_: calls.append(1))
    train(model, optimizer, range(2))
    handle.remove()

    assert calls == [1, 1]


def test_the_profiler_sees_a_step_by_its_name() -> None:
    model = network(torch.float64)
    optimizer = optcore.make_optimizer(model.named_parameters(), {"kind": "adam"})

    with torch.autograd.profiler.profile() as profile:
        train(model, optimizer, range(2))

    names = [event.name for event in profile.function_events]
    assert names.count("Optimizer.step#FlatOptimizer.step") == 2


@pytest.mark.parametrize("enabled", [True, False])
def test_a_step_leaves_the_gradient_mode_as_it_was(enabled: bool) -> None:
    model = network(torch.float64)
    optimizer = optcore.make_optimizer(model.named_parameters(), {"kind": "adam"})
    train(model, optimizer, range(1))

    with torch.set_grad_enabled(enabled):
        optimizer.step()
        assert torch.is_grad_enabled() == enabled
