"""Dropout drops and scales as torch's does, in every dtype, shape and memory format."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcore.networks.draws import Draws
from optcore.networks.layers.dropout import Dropout

RTOL = {
    torch.float64: 1e-15,
    torch.float32: 2e-7,
    torch.bfloat16: 2**-8,
    torch.float16: 2**-10,
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_the_mask_is_the_same_in_every_dtype_and_memory_format(dtype: torch.dtype) -> None:
    layer = Dropout(0.3, Draws(1), "drop")
    images = torch.rand(6, 5, 4, 3, dtype=torch.float64) + 1

    wanted = layer(images)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        given = images.to(dtype).contiguous(memory_format=memory_format)
        found = layer(given)

        assert torch.equal(found != 0, wanted != 0)
        assert found.stride() == given.stride()
        assert found.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_kept_elements_and_gradients_are_scaled_as_the_formula_says(dtype: torch.dtype) -> None:
    given = torch.randn(50, 40, dtype=dtype, requires_grad=True)
    gradient = torch.randn(50, 40, dtype=dtype)

    output = Dropout(0.1, Draws(1), "drop")(given)
    output.backward(gradient)

    kept = output.detach() != 0
    exact = given.detach().double() * kept / 0.9
    torch.testing.assert_close(output.detach(), exact.to(dtype), rtol=RTOL[dtype], atol=0)
    assert given.grad is not None
    exact = gradient.double() * kept / 0.9
    torch.testing.assert_close(given.grad, exact.to(dtype), rtol=RTOL[dtype], atol=0)


def test_in_float32_it_is_torchs_own_dropout_but_for_the_mask() -> None:
    given = torch.randn(50, 40)
    output = Dropout(0.3, Draws(1), "drop")(given)
    kept = (output != 0).float()

    assert torch.equal(output, given * kept.div(0.7))  # what torch computes on a CPU


def test_without_draws_it_is_torchs() -> None:
    given = torch.randn(50, 40)
    torch.manual_seed(1)
    wanted = nn.Dropout(0.3)(given)
    torch.manual_seed(1)

    assert torch.equal(Dropout(0.3)(given), wanted)
    assert repr(Dropout(0.3)) == "Dropout(p=0.3)"


def test_evaluation_and_p_of_0_return_the_input_itself() -> None:
    given = torch.randn(3, 4)

    assert Dropout(0.0, Draws(1), "drop")(given) is given
    assert Dropout(0.5, Draws(1), "drop").eval()(given) is given


@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (3, 5), (2, 0, 3, 3), (2, 3, 4), (1, 3, 3, 3)])
def test_any_shape_is_accepted(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5, Draws(1), "drop")(torch.ones(shape)).shape == shape
