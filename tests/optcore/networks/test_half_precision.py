"""Layers in precisions of 16 bits on a CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from optcore.networks.build import build
from optcore.networks.layers.attention import Attention
from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, TensorSpec
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


def junk() -> None:
    """Fill memory that the next tensors may get with a large number."""
    for size in (100, 1_000, 10_000, 100_000):
        torch.full((size,), 1e30)


SMALL: dict[str, tuple[dict[str, Any], TensorSpec]] = {
    "conv1d": ({"kind": "conv1d", "stride": 2}, TensorSpec((16, 1), SIGNAL)),
    "conv2d": ({"kind": "conv2d", "stride": 2}, TensorSpec((16, 1, 1), IMAGE)),
    "conv2d of groups": ({"kind": "conv2d", "groups": 16}, TensorSpec((16, 1, 1), IMAGE)),
    "conv2d, 7 x 7": (
        {"kind": "conv2d", "kernel_size": 7, "padding": 3, "out_channels": 64},
        TensorSpec((16, 2, 2), IMAGE),
    ),
    "conv_transpose1d": ({"kind": "conv_transpose1d", "stride": 2}, TensorSpec((16, 1), SIGNAL)),
    "conv_transpose2d": (
        {"kind": "conv_transpose2d", "stride": 2, "output_padding": 1},
        TensorSpec((16, 1, 1), IMAGE),
    ),
}


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("mixed", [True, False], ids=["mixed", "all in 16 bits"])
def test_the_gradient_of_a_kernel_that_meets_padding_is_zero_there(kind: str, mixed: bool) -> None:
    fields, given = SMALL[kind]
    layer = {"kernel_size": 3, "padding": 1, "out_channels": 32, "name": "it", **fields}
    network = network_of([layer], given)
    torch.manual_seed(1)
    batch = torch.randn(7, *given.shape)
    exact = build(network)
    exact(batch).square().sum().backward()

    for _ in range(5):
        module = build(network).to(torch.float32 if mixed else torch.bfloat16)
        module.load_state_dict(exact.state_dict())
        junk()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            output = module(batch if mixed else batch.bfloat16())
        assert output.dtype == torch.bfloat16
        output.float().square().sum().backward()

        for name, param in module.named_parameters():
            wanted = exact.get_parameter(name).grad
            assert param.grad is not None
            torch.testing.assert_close(param.grad.float(), wanted, rtol=0.05, atol=0.5)
