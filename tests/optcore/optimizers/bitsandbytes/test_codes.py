"""Slots are encoded as 8-bit codes and decoded as bitsandbytes does it."""

from __future__ import annotations

import pytest
import torch

from optcore.optimizers.engine.codes import code_map, decoded, encode


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("by_table", [True, False])
def test_a_block_of_zeros_stays_0_and_nan_stays_in_its_block(signed: bool, by_table: bool) -> None:
    values = torch.cat([torch.zeros(256), torch.ones(256), torch.full((3,), 2.0)])
    values[300] = torch.nan
    codes, largest = torch.zeros(515, dtype=torch.uint8), torch.zeros(3)

    encode(values, codes, largest, signed=signed, by_table=by_table)
    back = decoded(codes, largest, signed=signed)

    assert back[:256].count_nonzero() == 0
    assert back[256:512].isnan().all()
    assert back[512:].tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("signed", [True, False])
def test_the_code_is_that_of_the_nearest_number(signed: bool) -> None:
    numbers = code_map(signed, torch.device("cpu"))
    middles = (numbers[:-1] + numbers[1:]) * 0.5
    near = [torch.nextafter(middles, torch.full_like(middles, to)) for to in (-2.0, 2.0)]
    any_size = torch.randint(0, 0x3F800000, (20_000,), dtype=torch.int32).view(torch.float32)
    random = torch.cat([torch.logspace(-9, 0, 3000), any_size])
    random = torch.cat([random, -random]) if signed else random
    values = torch.cat([numbers, middles, *near, random])
    values = values[values >= 0] if not signed else values
    values[0] = 1  # the largest, so that shares are the values
    whole = torch.cat([torch.cat([values.new_ones(1), part]) for part in values.split(255)])
    codes = torch.zeros(len(whole), dtype=torch.uint8)
    largest = torch.zeros(-(-len(whole) // 256))

    encode(whole, codes, largest, signed=signed, by_table=False)

    found = numbers[codes.long()].double()
    distances = (whole.double()[:, None] - numbers.double()).abs()
    kept = ~((whole < 0) & (distances.argmin(1) == (numbers == 0).nonzero()[0]))
    assert torch.equal(largest, torch.ones_like(largest))
    apart = (whole.double() - found).abs() - distances.min(1).values
    assert apart[kept].max() <= 2**-23  # a middle is rounded to float32
    assert (found[whole < 0] < 0).all()
    on_middle = torch.isin(whole, middles) & (whole > 0)
    assert (codes[on_middle] % 2 == 0).all()


@pytest.mark.parametrize("signed", [True, False])
def test_codes_are_decoded_alike_in_any_place(signed: bool) -> None:
    memory = torch.randint(0, 256, (40_000,), dtype=torch.uint8)
    numbers = code_map(signed, torch.device("cpu"))

    for start, size in ((0, 32_768), (1, 33_024), (6, 32_770), (3, 32_769), (0, 1024), (3, 1)):
        codes = memory[start : start + size]
        largest = torch.rand(-(-size // 256))
        alone = numbers[codes.long()] * largest.repeat_interleave(256)[:size]
        assert torch.equal(decoded(codes, largest, signed=signed), alone)


def test_a_negative_number_never_gets_the_code_of_0_in_the_cuda_kernels() -> None:
    values = torch.tensor([1.0, 1e-7, -1e-7, 0.0])
    codes, largest = torch.zeros(4, dtype=torch.uint8), torch.zeros(1)

    encode(values, codes, largest, signed=True, by_table=False)

    assert decoded(codes, largest, signed=True).tolist() == pytest.approx([1, 0, -5.5e-7, 0])
