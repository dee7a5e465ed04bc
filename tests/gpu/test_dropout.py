"""On a GPU too a mask is a function of seed, step, batch and layer."""

import pytest
import torch
from torch import Tensor

from optcore.networks.draws import Draws
from optcore.networks.layers.dropout import Dropout

pytestmark = pytest.mark.gpu


def mask(seed: int, step: int, batch: int, layer: str, dtype: torch.dtype) -> Tensor:
    """Return which of 20,000 elements a layer keeps."""
    draws = Draws(seed)
    draws.begin(step, batch)
    output: Tensor = Dropout(0.3, draws, layer)(torch.ones(100, 200, device="cuda", dtype=dtype))
    return output != 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_key_gives_the_same_mask_and_another_key_another(dtype: torch.dtype) -> None:
    first = mask(1, 2, 0, "a", torch.float32)
    torch.rand(9, device="cuda")  # not from there

    assert torch.equal(mask(1, 2, 0, "a", dtype), first)
    # The seed of a generator on a GPU counts in all 64 bits.
    others = ((1 + 2**32, 2, 0, "a"), (1, 3, 0, "a"), (1, 2, 1, "a"), (1, 2, 0, "b"))
    for other in others:
        agree = (mask(*other, dtype) == first).float().mean().item()
        assert abs(agree - 0.58) < 0.02
    assert abs(first.float().mean().item() - 0.7) < 0.02


def test_the_scale_is_not_rounded_and_gradients_have_the_mask() -> None:
    given = torch.rand(50, 40, device="cuda", requires_grad=True)

    output = Dropout(0.1, Draws(1), "drop")(given)
    output.sum().backward()

    kept = output != 0
    torch.testing.assert_close(output[kept], given[kept] / 0.9)
    torch.testing.assert_close(given.grad, kept / 0.9)
