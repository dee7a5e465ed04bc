"""Approximates the orthogonal matrix that is nearest to a matrix, by products of matrices alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MATRIX = 2
"""Number of dimensions of a matrix."""
BLOCKS, MIN_BLOCKED = 4, 1_048_576
"""The number of blocks of columns in which a large matrix is multiplied, which takes as long as at
once; and the number of elements of the smallest such matrix."""


def orthogonal(
    matrix: Tensor,
    *,
    coefficients: Sequence[tuple[float, float, float]],
    ns_eps: float,
    ns_safety: float,
    floored: bool,
    eps_by_shape: bool,
    rounded: bool,
    in_blocks: bool = False,
) -> Tensor:
    """
    Return approximately U V^T, where U S V^T is the singular value decomposition of *matrix*.

    ::

        X = matrix / norm(matrix)
        for each (a, b, c):  A = X X^T;  X = a * X + (b * A + c * A A) X

    Args:
        matrix: a matrix, or, with three dimensions, a stack of matrices along the first dimension.
        coefficients: (a, b, c) for each iteration.
        ns_eps: lower bound of the norm if *floored* (torch, timm); if not, added to the norm.
        ns_safety: factor that the norm is multiplied by.
        floored: whether *ns_eps* is a lower bound.
        eps_by_shape: whether ns_eps * sqrt(columns / rows) is added to the norm (timm's scale_eps).
        rounded: whether each product is rounded to the dtype before it is added, as in the code of
            Jordan et al.
        in_blocks: whether a large matrix in float32 or wider is multiplied in blocks of columns, if
            not *rounded*: less memory, and perhaps other last bits.

    References:
        Newton-Schulz iteration of fifth order, as in Jordan et al., 2024.
        Amsel et al., The Polar Express, 2025. https://arxiv.org/abs/2505.16932
    """
    # X X^T is smaller for a wide matrix, so a tall matrix is transposed. torch does so too, and so
    # the same numbers are rounded to bfloat16.
    rows, columns = matrix.shape[-2:]
    x = matrix if rows <= columns else matrix.mT
    norm = x.norm() if x.ndim == MATRIX else x.norm(2, dim=(-2, -1), keepdim=True)
    norm = norm if ns_safety == 1 else norm * ns_safety
    if eps_by_shape:
        norm = norm + ns_eps * (columns / rows) ** 0.5
    else:
        norm = norm.clamp(min=ns_eps) if floored else norm + ns_eps
    x = x / norm
    del matrix, norm
    product = torch.addmm if x.ndim == MATRIX else torch.baddbmm
    # In 16 bits a copy takes half as much, and torch's own Muon multiplies at once.
    in_blocks = in_blocks and x.itemsize >= torch.float32.itemsize and x.numel() >= MIN_BLOCKED
    for a, b, c in coefficients:
        gram = x @ x.mT
        if rounded:
            product_of = ((c * gram) @ gram).add_(gram.mul_(b)) @ x
            x = x.mul_(a).add_(product_of)
        else:
            # A square of the shorter side is as large as the matrix itself where that is square,
            # so the first is freed before the next copy of the matrix is made.
            gram = product(gram, gram, gram, beta=b, alpha=c)
            if in_blocks:
                # A column of the product depends on the same column of x alone, and replaces it.
                for block in x.split(-(-x.shape[-1] // BLOCKS), dim=-1):
                    block.copy_(product(block, gram, block, beta=a))
            else:
                x = product(x, gram, x, beta=a)
    return x if rows <= columns else x.mT
