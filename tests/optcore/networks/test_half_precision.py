"""Layers in precisions of 16 bits on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optcore.networks.build import build
from optcore.networks.layers.attention import Attention
from optcore.spec.layers.base import SEQUENCE, TensorSpec
from tests.support.optcore.layers.networks import network_of


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["fp16", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_layers_train_in_mixed_precision(
    kind: str, dropout: float, dtype: torch.dtype
) -> None:
    fields: dict[str, Any] = {"hidden_size": 4, "num_layers": 2, "bidirectional": True}
    layer = {"kind": kind, "dropout": dropout, **fields}
    module = build(network_of([layer], TensorSpec((5, 3), SEQUENCE))).train()
    given = torch.randn(2, 5, 3)
    torch.manual_seed(1)
    wanted = module(given)

    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=dtype):
        found = module(given)
    found.float().sum().backward()

    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=2e-2)
    assert all(each.grad is not None for each in module.parameters())


def test_attention_with_dropout_is_finite_where_that_without_is() -> None:
    """Each of 64 products is 40 * 40; their sum is above float16's largest number, 65,504."""
    q = torch.full((1, 1, 2, 64), 40.0, dtype=torch.float16)
    v = torch.ones(1, 1, 2, 64, dtype=torch.float16)

    plain = Attention(causal=False, dropout=0.0, draws=None, name="a").train()(q, q, v)
    dropped = Attention(causal=False, dropout=1e-9, draws=None, name="a").train()(q, q, v)

    assert plain.isfinite().all()
    torch.testing.assert_close(dropped, plain)
