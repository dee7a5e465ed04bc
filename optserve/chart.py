"""Pictures in the terminal that hide nothing: each column spans all values that fall into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

DOTS_PER_COLUMN, DOTS_PER_LINE = 2, 4
"""Dots in one braille character, across and down."""
BRAILLE = 0x2800
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bit of the dot in each column and line of a braille character."""
WALL, CORNER, FLOOR = "\u2502", "\u2514", "\u2500"
NOT_FINITE = "x"
"""Stands in the top line where a value is NaN or infinite."""


def chart(title: str, values: Sequence[float], *, width: int, height: int) -> list[str]:
    """
    Return *values*, from left to right, as lines of text.

    A column of dots reaches from the smallest to the largest value that falls into it, so that a
    spike of one step is seen whatever the width.

    Args:
        title: of the first line.
        values: one per step; not empty.
        width: of the lines, in characters, labels included.
        height: of the picture, in lines.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    labels = {0: f"{high:.4g}", height - 1: f"{low:.4g}"}
    margin = max(len(label) for label in labels.values())
    columns = width - margin - 2
    grid = _grid(_buckets(values, columns * DOTS_PER_COLUMN), low, high, columns, height)
    lines = [f"{'':{margin}}  {title}"]
    for i, cells in enumerate(grid):
        lines.append(f"{labels.get(i, ''):>{margin}} {WALL}{''.join(cells)}")
    last = str(len(values) - 1)
    lines.append(f"{'':{margin}} {CORNER}{FLOOR * columns}")
    lines.append(f"{'':{margin}}  0{last:>{columns - 1}}")
    return lines


def _buckets(values: Sequence[float], count: int) -> list[Sequence[float]]:
    """Return *values* dealt into *count* neighbouring stretches, none empty."""
    n = len(values)
    edges = [i * n // count for i in range(count + 1)]
    return [values[start : max(stop, start + 1)] for start, stop in pairwise(edges)]


def _grid(
    buckets: Sequence[Sequence[float]], low: float, high: float, columns: int, height: int
) -> list[list[str]]:
    dots = height * DOTS_PER_LINE
    bits = [[0] * columns for _ in range(height)]
    lost = set()
    before: int | None = None
    for x, bucket in enumerate(buckets):
        finite = [value for value in bucket if math.isfinite(value)]
        if len(finite) < len(bucket):
            lost.add(x // DOTS_PER_COLUMN)
        if not finite:
            before = None
            continue
        bottom, top = (_dot(value, low, high, dots) for value in (min(finite), max(finite)))
        if before is not None:  # join it to the column before
            bottom, top = min(bottom, before), max(top, before)
        for y in range(bottom, top + 1):
            line, dot = divmod(dots - 1 - y, DOTS_PER_LINE)
            bits[line][x // DOTS_PER_COLUMN] |= BITS[x % DOTS_PER_COLUMN][dot]
        before = _dot(finite[-1], low, high, dots)
    cells = [[chr(BRAILLE + b) if b else " " for b in line] for line in bits]
    for column in lost:
        cells[0][column] = NOT_FINITE
    return cells


def _dot(value: float, low: float, high: float, dots: int) -> int:
    """Return the height of *value*, in dots from the bottom."""
    if high <= low:
        return 0
    return round((value - low) / (high - low) * (dots - 1))
