"""What dialect paddle of a layer changes: the meaning of momentum, and defaults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from optcore.networks.build import build
from optcore.spec.layers.catalogue import LAYERS
from tests.support.optcore.layers.networks import network_of

PADDLE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"kind": "batch_norm"}, {"momentum": 0.9}),
    ({"kind": "avg_pool1d", "kernel_size": 2}, {"count_include_pad": False}),
    ({"kind": "avg_pool2d", "kernel_size": 2}, {"count_include_pad": False}),
    ({"kind": "hardsigmoid"}, {"slope": 0.1666667}),
    ({"kind": "squeeze_excite", "squeeze_channels": 2, "gate": "hardsigmoid"}, {"slope": 0.2}),
]


@pytest.mark.parametrize(("layer", "defaults"), PADDLE, ids=lambda value: value.get("kind"))
def test_dialect_paddle_has_paddles_defaults(
    layer: dict[str, Any], defaults: dict[str, Any]
) -> None:
    parsed = LAYERS[layer["kind"]].parse({**layer, "dialect": "paddle"})

    assert {name: getattr(parsed, name) for name in defaults} == defaults


@pytest.mark.parametrize("momentum", [None, 0.9, 0.75])
def test_paddles_momentum_is_the_weight_of_the_running_statistics(momentum: float | None) -> None:
    fields = {} if momentum is None else {"momentum": momentum}
    layer = {"kind": "batch_norm", "dialect": "paddle", **fields}
    module = build(network_of([layer], (3,))).double().train()
    given = torch.arange(12.0, dtype=torch.float64).view(4, 3)

    module(given)

    share = float(np.float32(0.9 if momentum is None else momentum))
    (norm,) = (each for each in module.modules() if isinstance(each, nn.BatchNorm2d))
    torch.testing.assert_close(norm.running_mean, (1 - share) * given.mean(0), rtol=1e-14, atol=0)
    wanted = share + (1 - share) * given.var(0, unbiased=False)
    torch.testing.assert_close(norm.running_var, wanted, rtol=1e-14, atol=0)
