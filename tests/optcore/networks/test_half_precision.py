"""Layers in float16 on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optcore.networks.build import build
from optcore.networks.layers.attention import Attention
from optcore.spec.layers.base import SEQUENCE, TensorSpec
from tests.support.optcore.layers.networks import network_of


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_layers_train_in_precision_fp16(kind: str) -> None:
    fields: dict[str, Any] = {"hidden_size": 4, "num_layers": 2, "bidirectional": True}
    layer = {"kind": kind, **fields}
    module = build(network_of([layer], TensorSpec((5, 3), SEQUENCE))).train()
    given = torch.randn(2, 5, 3)
    wanted = module(given)

    with torch.autocast("cpu", dtype=torch.float16):
        found = module(given)
    found.float().sum().backward()

    torch.testing.assert_close(found.float(), wanted, rtol=2e-3, atol=2e-3)
    assert all(each.grad is not None for each in module.parameters())


def test_attention_with_dropout_is_finite_where_that_without_is() -> None:
    """Each of 64 products is 40 * 40; their sum is above float16's largest number, 65,504."""
    q = torch.full((1, 1, 2, 64), 40.0, dtype=torch.float16)
    v = torch.ones(1, 1, 2, 64, dtype=torch.float16)

    plain = Attention(causal=False, dropout=0.0, draws=None, name="a").train()(q, q, v)
    dropped = Attention(causal=False, dropout=1e-9, draws=None, name="a").train()(q, q, v)

    assert plain.isfinite().all()
    torch.testing.assert_close(dropped, plain)
