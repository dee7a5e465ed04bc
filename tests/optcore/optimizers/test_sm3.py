"""A sum without eps is left alone only where eps would not change it."""

from __future__ import annotations

import pytest
import torch

import optcore


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e-18])
@pytest.mark.parametrize("eps", [1e-30, 1e-17, 1e-12, 1e-8, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_step_has_the_bits_of_the_formula(
    eps: float, scale: float, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    before, *grads = torch.randn(5, 300, 250, generator=generator, dtype=torch.float64)
    param = before.to(dtype).requires_grad_()
    spec = {"kind": "sm3", "lr": 0.1, "momentum": 0.9, "eps": eps}
    optimizer = optcore.make_optimizer([("a", param)], spec)

    wanted, mean = param.detach().clone(), torch.zeros_like(param)
    rows, columns = torch.zeros(300, 1, dtype=dtype), torch.zeros(1, 250, dtype=dtype)
    for step, grad in enumerate(grads):
        grad[0] *= step > 1  # the sums of a row are 0 at first
        param.grad = (scale * grad).to(dtype)
        optimizer.step()

        total = torch.minimum(columns, rows).addcmul(param.grad, param.grad)
        rows, columns = total.amax(1, keepdim=True), total.amax(0, keepdim=True)
        divided = param.grad * total.add(eps).rsqrt()
        mean = torch.lerp(mean, divided.where(total > 0, 0.0), 1 - 0.9)
        wanted = wanted.add(mean, alpha=-0.1)
        assert torch.equal(param, wanted)
