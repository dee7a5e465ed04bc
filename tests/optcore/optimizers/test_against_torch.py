"""Optimizers in the dialect torch against torch's own, update by update."""

from __future__ import annotations

import pytest
import torch

import optcore
from tests.support.optcore.updates.optimizer_specs import TORCH, TORCH_LR
from tests.support.optcore.updates.optimizer_steps import network, train, weights

every_kind = pytest.mark.parametrize("kind", TORCH)


@every_kind
@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_the_torch_dialect_equals_torch(kind: str, engine: str, weight_decay: float) -> None:
    ours, theirs = network(torch.float64), network(torch.float64)
    settings = {"lr": TORCH_LR[kind], "weight_decay": weight_decay}

    train(
        ours,
        optcore.make_optimizer(
            ours.named_parameters(), {"kind": kind, "engine": engine, **settings}
        ),
        range(30),
    )
    train(theirs, TORCH[kind](theirs.parameters(), **settings), range(30))

    for a, b in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@every_kind
def test_uneven_counts_still_equal_torch(kind: str) -> None:
    ours, theirs = network(torch.float64), network(torch.float64)
    mine = optcore.make_optimizer(ours.named_parameters(), {"kind": kind, "lr": 0.01})
    torchs = TORCH[kind](theirs.parameters(), lr=0.01)

    for step in range(6):
        for model, optimizer in ((ours, mine), (theirs, torchs)):
            optimizer.zero_grad()
            model(torch.full((1, 300), 0.1 * step, dtype=torch.float64)).square().mean().backward()
            if step in (0, 3):
                dict(model.named_parameters())["0.bias"].grad = None
            optimizer.step()

    for a, b in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
