"""
Converts the slots of an optimizer to 8-bit codes and back, as bitsandbytes does.

A slot, such as the mean of a parameter's gradients, is divided into blocks of 256 elements. A block
is stored as its largest absolute value, and one code for each element.

A code is an index into a map: 256 sorted numbers from -1 to 1 (0 to 1 for a slot that is never
negative). An element is divided by the largest absolute value of its block, and gets the code of
the number in the map that is nearest to the quotient. The map is dense near 0, since most elements
are far smaller than the largest.

References:
    Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022, section 2.
    https://arxiv.org/abs/2110.02861
    bitsandbytes 0.50.2, whose CUDA and CPU kernels choose codes differently.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

BLOCK = 256
"""Number of elements that share a largest absolute value."""
EXPONENTS = 7
TAIL_BITS = 15
HEADS = 1 << 32 - TAIL_BITS
"""Number of values of the first 17 bits of a float32."""
BINS = 65_536
"""Entries of the table from which the CPU kernel takes codes."""


def decoded(codes: Tensor, largest: Tensor, *, signed: bool) -> Tensor:
    """
    Return the numbers that *codes* stand for, in the dtype of *largest*.

    Args:
        codes: uint8, one dimension.
        largest: the largest absolute value that was stored with each block.
        signed: whether the numbers may be negative.
    """
    numbers = code_map(signed, codes.device).to(largest.dtype).index_select(0, codes.int())
    return numbers.mul_(largest.repeat_interleave(BLOCK)[: codes.numel()])


def encode(
    numbers: Tensor, codes: Tensor, largest: Tensor, *, signed: bool, by_table: bool
) -> None:
    """
    Write the codes of *numbers* to *codes*, and the largest absolute value per block to *largest*.

    A block that contains a NaN is decoded as NaN in every element.

    Args:
        numbers: the input, one dimension, any float dtype.
        codes: the output, uint8, with the length of *numbers*.
        largest: the output for the blocks, one number for each block of *numbers*.
        signed: whether the numbers may be negative.
        by_table: true to choose codes as the CPU kernel of bitsandbytes does; false to choose them
            as its CUDA kernels do.
    """
    padding = -numbers.numel() % BLOCK
    blocks = torch.nn.functional.pad(numbers, (0, padding)).view(-1, BLOCK)
    torch.amax(blocks.abs(), dim=1, out=largest)
    scale = largest.unsqueeze(1)
    # All numbers of a block without a largest one are 0, whatever their codes.
    scale = torch.where(scale == 0, 1.0, scale)
    # For a largest value below 2.9e-39 the reciprocal is infinite in float32, as in the CPU kernel:
    # the block then holds only the codes of -1 (also of 0) and 1.
    shares = blocks * (1 / scale) if by_table else blocks / scale
    shares = shares.view(-1)[: numbers.numel()].float()
    found = _from_table(shares, signed) if by_table else _nearest(shares, signed)
    codes.copy_(found)


@cache
def code_map(signed: bool, device: torch.device) -> Tensor:
    """Return the 256 numbers that codes stand for, in ascending order, as float32."""
    parts = []
    for exponent in range(EXPONENTS):
        count = 2**exponent if signed else 2 ** (exponent + 1)
        # In float32, as bitsandbytes computes it: a third of the numbers would differ in the last
        # bit if computed in double.
        edges = torch.linspace(0.1, 1, count + 1, dtype=torch.float32)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (exponent - EXPONENTS + 1)
        parts += [middles, -middles] if signed else [middles]
    return torch.cat([*parts, torch.tensor([0.0, 1.0])]).sort().values.to(device)


@cache
def _middles(signed: bool, device: torch.device) -> Tensor:
    """Return the 255 numbers half way between neighbouring numbers of the map."""
    numbers = code_map(signed, device)
    return (numbers[:-1] + numbers[1:]) * 0.5


@cache
def _upper_bounds(signed: bool, device: torch.device) -> Tensor:
    """
    Return, for each code, the largest float32 that gets this code.

    A float32 half way between two numbers of the map gets the even one of their two codes.
    """
    # The search of the CUDA kernels ends at an even code, which then keeps both of its middles.
    bounds = _middles(signed, device).clone()
    bounds[1::2] = torch.nextafter(bounds[1::2], bounds.new_tensor(-torch.inf))
    return torch.cat([bounds, bounds.new_tensor([torch.inf])])


@cache
def _first_codes(signed: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """
    Return two tables, with which `_nearest` finds the code of a float32 without a search.

    The head of a float32 is its sign, its exponent and the first 8 bits of its fraction. The first
    table has, for each head, the code of the lowest float32 with this head. The second table has,
    for each code, the largest float32 that gets this code.

    All float32 with one head get the same code, or one of two neighbouring codes. If the first
    table has code c for a head, a float32 with this head gets code c, or c + 1 if the float32 is
    larger than entry c of the second table.
    """
    heads = torch.arange(HEADS, dtype=torch.int64, device=device)
    negative = heads >= HEADS // 2
    # Among negative numbers, the lowest has the largest fraction.
    bits = (heads << TAIL_BITS) + negative * ((1 << TAIL_BITS) - 1)
    lowest = (bits - (negative.long() << 32)).int().view(torch.float32)
    bounds = _upper_bounds(signed, device).clone()
    codes = torch.bucketize(lowest, bounds[:-1], out_int32=True)
    if signed:
        # No number with a negative sign, not even -0, has the code of 0 or more.
        zero = int((code_map(signed, device) == 0).nonzero())
        bounds[zero - 1] = 0.0
        codes = torch.where(negative, codes.clamp(max=zero - 1), codes.clamp(min=zero))
    return codes, bounds


def _nearest(shares: Tensor, signed: bool) -> Tensor:
    """
    Return, for each of *shares*, the code of the nearest number in the map.

    A share is an element divided by the largest absolute value of its block. If *signed*, a share
    with a negative sign, even -0, gets the code of a negative number.
    """
    first, bounds = _first_codes(signed, shares.device)
    heads = (shares.view(torch.int32) >> TAIL_BITS) & (HEADS - 1)
    codes = first.index_select(0, heads)
    # Three times as fast as a binary search (torch.bucketize) for every number.
    return codes.add_(shares > bounds.index_select(0, codes))


@cache
def _table(signed: bool, device: torch.device) -> Tensor:
    """Return the codes of `BINS` equally spaced numbers from -1 to 1."""
    grid = -1 + 2 * torch.arange(BINS, dtype=torch.float32, device=device) / (BINS - 1)
    return torch.bucketize(grid, _middles(signed, device), out_int32=True)


def _from_table(shares: Tensor, signed: bool) -> Tensor:
    bins = (shares.clamp(-1, 1) + 1) * 0.5 * (BINS - 1) + 0.5
    return _table(signed, shares.device).index_select(0, bins.nan_to_num(0).int())
