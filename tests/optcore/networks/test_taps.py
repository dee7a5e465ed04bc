"""Convolutions as sums of matrix products, beside torch's."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from optcore.networks.taps import Conv2d, Geometry, convolve, is_faster, use_taps, uses_taps


def pair(size: int) -> tuple[int, int]:
    return size, size + 1


@pytest.mark.parametrize(
    ("given", "kernel", "stride", "padding", "dilation"),
    [
        sizes
        for sizes in product((1, 2, 5), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2))
        if sizes[0] + 2 * sizes[3] >= sizes[4] * sizes[1]
    ],
)
def test_it_equals_torchs_convolution_and_its_gradients(
    given: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    torch.manual_seed(0)
    sizes = Geometry(pair(given), pair(kernel), pair(stride), (padding, padding), (dilation,) * 2)
    images = torch.rand(3, 4, *sizes.given, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(5, 4, *sizes.kernel, dtype=torch.float64, requires_grad=True)
    wanted = functional.conv2d(images, weight, None, sizes.stride, sizes.padding, sizes.dilation)
    gradient = torch.rand_like(wanted)

    found = convolve(images, weight, sizes)

    torch.testing.assert_close(found, wanted)
    for one, other in zip(
        grads(found, gradient, images, weight), grads(wanted, gradient, images, weight), strict=True
    ):
        torch.testing.assert_close(one, other)


def grads(output: Tensor, gradient: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, inputs, gradient)


def test_the_gradient_of_a_weight_lies_as_the_weight_does() -> None:
    weight = torch.rand(64, 64, 3, 3).to(memory_format=torch.channels_last).requires_grad_()

    sizes = Geometry((1, 1), (3, 3), (1, 1), (1, 1), (1, 1))
    convolve(torch.rand(2, 64, 1, 1), weight, sizes).sum().backward()

    assert weight.grad is not None
    assert weight.grad.stride() == weight.stride()


@pytest.mark.parametrize(
    ("pixels", "channels", "batch", "wanted"),
    [
        (1, 512, 32, True),
        (2, 256, 32, True),
        (2, 256, 100, True),
        (4, 128, 32, False),
        (1, 512, 2000, False),
    ],
)
def test_products_are_chosen_where_there_are_more_weights_than_values(
    pixels: int, channels: int, batch: int, wanted: bool
) -> None:
    sizes = Geometry((pixels, pixels), (3, 3), (1, 1), (1, 1), (1, 1))

    assert (
        is_faster(
            torch.Size([batch, channels, pixels, pixels]),
            torch.Size([channels, channels, 3, 3]),
            sizes,
        )
        is wanted
    )


@pytest.mark.parametrize("options", [{"groups": 2}, {"padding_mode": "reflect"}])
def test_torch_computes_what_products_cannot(options: dict[str, Any]) -> None:
    module = Conv2d(64, 64, 3, padding=1, **options)

    use_taps(module, True)

    assert not uses_taps(module)


def test_a_module_adds_its_bias() -> None:
    torch.manual_seed(0)
    module, images = Conv2d(64, 64, 3, padding=1), torch.rand(2, 64, 1, 1)
    wanted = module(images)

    use_taps(module, True)

    assert not torch.equal(module(images), wanted)
    torch.testing.assert_close(module(images), wanted)


def test_what_a_module_without_bias_returns_may_be_overwritten() -> None:
    """By a relu behind it, or by the sum of a residual block, as what torch's returns may."""
    torch.manual_seed(0)
    module = Conv2d(64, 64, 3, padding=1, bias=False).double()
    images = torch.randn(2, 64, 1, 1, dtype=torch.float64, requires_grad=True)
    found = []
    for on in (True, False):
        use_taps(module, on)
        output = module(images).relu_()
        found.append([output, *torch.autograd.grad(output.square().sum(), [images, module.weight])])

    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
