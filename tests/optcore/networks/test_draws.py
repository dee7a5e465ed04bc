"""What a layer draws is a function of seed, step, batch and layer: the masks of dropout."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from optcore.networks.draws import Draws, mixed, number
from optcore.networks.layers.dropout import Dropout

SIZE = (100, 200)


def mask(
    seed: int = 3, step: int = 5, batch: int = 0, layer: str = "drop", p: float = 0.5
) -> Tensor:
    """Return where a layer keeps elements, as 0 and 1."""
    draws = Draws(seed)
    draws.begin(step, batch)
    output: Tensor = Dropout(p, draws, layer)(torch.ones(SIZE))
    return (output != 0).float()


def drawn(draws: Draws, layer: str = "drop", count: int = 64) -> str:
    """Return which of *count* elements are kept, in hexadecimal."""
    found = draws.mask(number(layer), count, 0.5, value=1.0, like=torch.ones(1))
    return f"{int(''.join(str(int(kept)) for kept in found.tolist()), 2):x}"


def test_the_mask_of_a_key_is_this() -> None:
    """It must not change with torch, numpy or the processor: a resumed run draws it again."""
    draws = Draws(3)
    draws.begin(5, 1)

    assert drawn(draws) == "bfd9e35042bd3fc4"


def test_splitmix_gives_its_published_outputs() -> None:
    """Those of seed 1234567 in the reference implementation of Vigna."""
    assert [mixed(1234567, i) for i in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("seed", [0, 1, 4, 2**32 + 3, 2**63 - 1]),
        ("step", [0, 4, 6, 5 + 2**32]),
        ("batch", [1, 2]),
        ("layer", ["drop1", "0", "1"]),
    ],
)
def test_each_part_of_the_key_gives_another_mask_that_is_independent(
    key: str, others: list[int]
) -> None:
    first = mask()

    for other in others:
        agree = (first == mask(**{key: other})).float().mean().item()  # type: ignore[arg-type]
        assert abs(agree - 0.5) < 5 * 0.5 / 20_000**0.5, other


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_the_rate_is_p_within_a_mask_and_at_a_position_over_keys(p: float) -> None:
    keys = itertools.product((0, 1, 2), (0, 1, 1000), (0, 1), ("a", "b"))
    masks = torch.stack([mask(*key, p=p) for key in keys])

    dropped = 1 - masks.double().mean().item()
    elements = masks.numel()
    assert abs(dropped - p) < 5 * (p * (1 - p) / elements) ** 0.5
    first = 1 - torch.stack([mask(step=i, p=p)[0, 0] for i in range(2000)]).double().mean().item()
    assert abs(first - p) < 5 * (p * (1 - p) / 2000) ** 0.5


def test_masks_of_many_keys_are_uncorrelated() -> None:
    keys = itertools.product(range(4), range(8), range(2), ("0", "1", "2", "3"))
    masks = torch.stack([mask(*key).flatten() for key in keys]) * 2 - 1

    correlations = (masks @ masks.T / masks.shape[1]).fill_diagonal_(0) * masks.shape[1] ** 0.5

    assert correlations.abs().max() < 5.5  # standard deviations, of 32,640 pairs
    assert 0.97 < correlations.std() < 1.03


def test_a_mask_is_the_same_again_and_with_other_threads() -> None:
    threads = torch.get_num_threads()
    draws = Draws(3)
    layer = Dropout(0.5, draws, "drop")
    draws.begin(5, 0)
    inputs = torch.ones(400, 500)
    first, again = layer(inputs), layer(inputs)
    torch.rand(7)  # not from there

    torch.set_num_threads(3)
    try:
        draws.begin(6, 0)
        draws.begin(5, 0)
        other = layer(inputs)
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(first, again)
    assert torch.equal(first, other)


def test_another_process_draws_the_same() -> None:
    program = (
        "from optcore.networks.draws import Draws\n"
        "from tests.optcore.networks.test_draws import drawn\n"
        "draws = Draws(9); draws.begin(1000, 2); print(drawn(draws, 'x', 999))"
    )

    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    draws = Draws(9)
    draws.begin(1000, 2)
    assert done.stdout.decode().strip() == drawn(draws, "x", 999)


def test_torchs_generator_is_not_used() -> None:
    before = torch.get_rng_state()

    mask()

    assert torch.equal(torch.get_rng_state(), before)


def test_normal_numbers_belong_to_the_key_too() -> None:
    def numbers(step: int, layer: str, dtype: torch.dtype = torch.float64) -> Tensor:
        draws = Draws(3)
        draws.begin(step, 0)
        draws.normal(number("other"), 5, like=torch.ones(1))
        return draws.normal(number(layer), 20_000, like=torch.ones(1, dtype=dtype))

    first = numbers(5, "noise")

    assert torch.equal(first, numbers(5, "noise"))
    assert torch.equal(first.float(), numbers(5, "noise", torch.float32))
    assert abs(first.mean()) < 5 / 20_000**0.5
    assert abs(first.std() - 1) < 5 / 40_000**0.5
    for other in (numbers(6, "noise"), numbers(5, "noise2")):
        assert abs((first * other).mean()) < 5 / 20_000**0.5
