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
TAIL_BITS = 16
HEADS = 1 << 32 - TAIL_BITS
"""Number of values of the head of a float32: its sign, its exponent and 7 bits of its fraction."""
TAIL = (1 << TAIL_BITS) - 1
"""Largest value of the tail of a float32: the other 16 bits of its fraction."""
PAIRS = 1 << 16
"""Number of values of two codes."""
MIN_PAIRED = 32_768
"""Number of codes from which two are looked up at a time: for few, another call takes as long."""
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
    numbers = _numbers(codes, signed).to(largest.dtype)
    scale = largest.unsqueeze(1)
    if codes.numel() % BLOCK:
        return numbers.mul_(scale.expand(-1, BLOCK).reshape(-1)[: codes.numel()])
    numbers.view(-1, BLOCK).mul_(scale)
    return numbers


def _numbers(codes: Tensor, signed: bool) -> Tensor:
    """Return the number in the map for each of *codes*, as float32."""
    if codes.is_cpu and codes.numel() >= MIN_PAIRED and not codes.numel() % 2:
        # Two codes at a time: a look-up takes longer than any other operation here, and one thread.
        pairs = codes.clone() if codes.storage_offset() % 2 else codes
        pairs = pairs.view(torch.int16).int().bitwise_and_(PAIRS - 1)
        return _pairs(signed).index_select(0, pairs).view(torch.float32)
    return code_map(signed, codes.device).index_select(0, codes.int())


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
    blocks = torch.constant_pad_nd(numbers, (0, padding)) if padding else numbers
    blocks = blocks.view(-1, BLOCK)
    sizes = blocks.abs()
    torch.amax(sizes, dim=1, out=largest)
    scale = largest.unsqueeze(1)
    # All numbers of a block without a largest one are 0, whatever their codes.
    scale = torch.where(scale == 0, 1.0, scale)
    # For a largest value below 2.9e-39 the reciprocal is infinite in float32, as in the CPU kernel:
    # the block then holds only the codes of -1 (also of 0) and 1.
    if by_table:
        shares = torch.mul(blocks, 1 / scale, out=sizes)
    else:
        shares = torch.div(blocks, scale, out=sizes)
    shares = shares.view(-1)[: numbers.numel()].float()
    codes.copy_(_from_table(shares, signed) if by_table else _nearest(shares, signed))


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
def _pairs(signed: bool) -> Tensor:
    """Return, for each two codes in memory, read as an int16, their two numbers as one float64."""
    two = torch.arange(PAIRS, dtype=torch.int32).to(torch.int16).view(torch.uint8)
    numbers = code_map(signed, two.device).index_select(0, two.int())
    return numbers.view(torch.float64)


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
def _packed_codes(signed: bool, device: torch.device) -> Tensor:
    """
    Return an int32 for each head, with which `_nearest` finds the code of a float32 by a sum.

    All float32 with one head get the same code, or one of two neighbouring codes. Of these let c be
    the code of the number with the smallest tail, and T the largest tail with this code. Writing
    bits for a float32 read as an int32, and entry for the result at its head::

        entry = (c - (bits >> 16)) * 2 ** 16 + (2 ** 16 - 1 - T)
        code  = (entry + bits) >> 16

    The sum carries into the code if the tail is larger than T. A larger tail makes a negative
    number smaller, so the entry of a negative head has -c in place of c, and the sum gives -code.
    If not *signed*, all float32 with a negative head get the same code, and the entry has c.
    """
    heads = torch.arange(HEADS, dtype=torch.int32, device=device)
    heads -= (heads >= HEADS // 2) * HEADS  # as the shift of an int32 gives them
    first = heads << TAIL_BITS
    code, last = (_searched(bits, signed) for bits in (first, first + TAIL))
    code = torch.where(first.view(torch.float32).isinf(), last, code)  # as NaN
    bounds = _upper_bounds(signed, device)
    # The number farthest from 0 that gets the first code.
    above = torch.nextafter(bounds, bounds.new_tensor(torch.inf))
    farthest = torch.where(heads < 0, above[code - 1], bounds[code]).view(torch.int32)
    tail = torch.where(code == last, TAIL, farthest & TAIL)
    if signed:
        code = torch.where(heads < 0, -code, code)
    return ((code - heads) << TAIL_BITS) + (TAIL - tail)


def _searched(bits: Tensor, signed: bool) -> Tensor:
    """Return the codes of the float32 numbers with these *bits*, by a search."""
    codes = torch.bucketize(
        bits.view(torch.float32), _upper_bounds(signed, bits.device)[:-1], out_int32=True
    )
    if signed:
        # No number with a negative sign, not even -0, has the code of 0 or more.
        zero = int((code_map(signed, bits.device) == 0).nonzero())
        codes = torch.where(bits < 0, codes.clamp(max=zero - 1), codes.clamp(min=zero))
    return codes


def _nearest(shares: Tensor, signed: bool) -> Tensor:
    """
    Return, for each of *shares*, the code of the nearest number in the map.

    A share is an element divided by the largest absolute value of its block. If *signed*, a share
    with a negative sign, even -0, gets the code of a negative number.
    """
    bits = shares.view(torch.int32)
    heads = (bits >> TAIL_BITS).bitwise_and_(HEADS - 1)
    codes = _packed_codes(signed, shares.device).index_select(0, heads)
    codes.add_(bits).bitwise_right_shift_(TAIL_BITS)
    return codes.abs_() if signed else codes


@cache
def _table(signed: bool, device: torch.device) -> Tensor:
    """Return the codes of `BINS` equally spaced numbers from -1 to 1."""
    grid = -1 + 2 * torch.arange(BINS, dtype=torch.float32, device=device) / (BINS - 1)
    return torch.bucketize(grid, _middles(signed, device), out_int32=True)


def _from_table(shares: Tensor, signed: bool) -> Tensor:
    # In place: a float32 that is new at every step would take as long again.
    bins = shares.clamp(-1, 1).add_(1).mul_(0.5).mul_(BINS - 1).add_(0.5).nan_to_num_(0)
    return _table(signed, shares.device).index_select(0, bins.int())
