"""
Charts as text.

Each column of a chart is filled from the smallest to the largest value of its steps, so every spike
is visible.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

DOTS_PER_COLUMN, DOTS_PER_LINE = 2, 4
"""Columns and rows of dots in one braille character."""
BRAILLE = 0x2800
# Unicode added the lowest row to the six dots of ordinary braille, so its bits come last.
BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bit of each dot in a braille character, by column and row of the dot."""
WALL, CORNER, FLOOR = "\u2502", "\u2514", "\u2500"
NOT_FINITE = "x"
"""Character in the top line that marks a column with a NaN or infinite value."""
# 32 letters: the service compares at most 32 jobs (`MAX_COMPARED_JOBS`).
LETTERS = "abcdefghijklmnopqrstuvwyzABCDEFG"
"""Characters that draw the curves of a comparison, one each; x is reserved for `NOT_FINITE`."""
MARKER = "o"
"""Character that draws the points of a second series in a chart of one."""
SEVERAL = "*"
"""Character drawn where curves overlap."""


class Curve(NamedTuple):
    """
    A curve to draw.

    Attributes:
        x: positions of the points on the x axis, ascending.
        values: value of each point.
        end: position on the x axis up to which the last value is drawn.
    """

    x: Sequence[float]
    values: Sequence[float]
    end: float


class _Frame(NamedTuple):
    """
    The plot area of a chart.

    Attributes:
        start: x at the left end of the x axis.
        span: x at the right end of the x axis, minus *start*.
        low: the smallest finite value; 0 if there is none.
        high: the largest finite value; 0 if there is none.
        columns: width of the plot area in characters.
        height: height of the plot area in lines.
        margin: width of the labels to the left of the plot area, in characters.
    """

    start: float
    span: float
    low: float
    high: float
    columns: int
    height: int
    margin: int


class _Trace(NamedTuple):
    """
    A curve, drawn as dots.

    Attributes:
        spans: the lowest and the highest dot in each column of dots; None for an empty column.
        not_finite: indices of the columns of characters in which a value is NaN or infinite.
    """

    spans: list[tuple[int, int] | None]
    not_finite: set[int]


def chart(
    title: str,
    values: Sequence[float],
    *,
    width: int,
    height: int,
    steps: Sequence[int] | None = None,
    total: int | None = None,
    marks: Sequence[tuple[int, float]] = (),
) -> list[str]:
    """
    Return a chart of *values*, from left to right, as lines of text.

    Each column of dots reaches from the smallest to the largest of its values, so that a spike of
    one step is visible at any width.

    Args:
        title: text of the first line.
        values: the values to draw; not empty.
        width: width of the lines in characters, labels included.
        height: height of the plot area in lines.
        steps: step of each value, ascending; default: 0, 1, ...
        total: number of steps on the x axis; default: the number of values.
        marks: further points (step, value), drawn as the letter o. Each step is less than *total*.
    """
    total = len(values) if total is None else total
    everything = [*values, *(value for _, value in marks)]
    frame = _frame(everything, 0, total, width=width, height=height)
    curve = Curve(range(total) if steps is None else steps, values, total)
    trace = _trace(curve, frame, DOTS_PER_COLUMN * frame.columns, DOTS_PER_LINE * height)
    cells = _braille(trace, frame)
    for step, value in marks:
        column = int(step * frame.columns // total)
        if math.isfinite(value):
            cells[height - 1 - _dot(value, frame, height)][column] = MARKER
        else:
            _mark(cells, {column})
    return _framed(title, cells, frame, "0", str(total - 1))


def overlaid(title: str, curves: Sequence[Curve], *, width: int, height: int) -> list[str]:
    """
    Return a chart of *curves* as lines of text, in which each curve is drawn with its own letter.

    Args:
        title: text of the first line.
        curves: at most 32 curves, one for each of `LETTERS`; at least one curve has points.
        width: width of the lines in characters, labels included.
        height: height of the plot area in lines.
    """
    x = [at for curve in curves for at in curve.x]
    start, end = min(x), max([*x, *(curve.end for curve in curves)])
    values = [value for curve in curves for value in curve.values]
    # The curves may all consist of one step; a span of 1 then avoids a division by 0.
    frame = _frame(values, start, end - start or 1, width=width, height=height)
    cells = [[" "] * frame.columns for _ in range(height)]
    for letter, curve in zip(LETTERS, curves, strict=False):
        trace = _trace(curve, frame, frame.columns, height)
        for column, span in enumerate(trace.spans):
            for y in range(span[0], span[1] + 1) if span else ():
                line = cells[height - 1 - y]
                line[column] = letter if line[column] == " " else SEVERAL
        _mark(cells, trace.not_finite)
    return _framed(title, cells, frame, f"{start:.6g}", f"{end:.6g}")


def _frame(
    values: Iterable[float], start: float, span: float, *, width: int, height: int
) -> _Frame:
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    margin = max(len(f"{label:.4g}") for label in (low, high))
    return _Frame(start, span, low, high, width - margin - 2, height, margin)


def _framed(
    title: str, cells: Sequence[Sequence[str]], frame: _Frame, first: str, last: str
) -> list[str]:
    """Return the lines of a chart: *cells* with title, labels and axes around them."""
    margin = frame.margin
    labels = {0: f"{frame.high:.4g}", frame.height - 1: f"{frame.low:.4g}"}
    lines = [f"{'':{margin}}  {title}"]
    for i, line in enumerate(cells):
        lines.append(f"{labels.get(i, ''):>{margin}} {WALL}{''.join(line)}")
    lines.append(f"{'':{margin}} {CORNER}{FLOOR * frame.columns}")
    lines.append(f"{'':{margin}}  {first}{last:>{frame.columns - len(first)}}")
    return lines


def _trace(curve: Curve, frame: _Frame, columns: int, dots: int) -> _Trace:
    """Return *curve* as dots in a plot area that is *columns* dots wide and *dots* dots high."""
    spans: list[tuple[int, int] | None] = []
    not_finite: set[int] = set()
    before: int | None = None
    for x, bucket in enumerate(_buckets(curve, frame, columns)):
        finite = [value for value in bucket if math.isfinite(value)]
        if len(finite) < len(bucket):
            not_finite.add(x * frame.columns // columns)
        if not finite:
            before = None
            spans.append(None)
            continue
        bottom, top = (_dot(value, frame, dots) for value in (min(finite), max(finite)))
        if before is not None:  # a steep curve must not fall apart into dots
            bottom, top = min(bottom, before), max(top, before)
        spans.append((bottom, top))
        # The last value, and not an extreme: the curve continues from there.
        before = _dot(finite[-1], frame, dots)
    return _Trace(spans, not_finite)


def _buckets(curve: Curve, frame: _Frame, count: int) -> list[list[float]]:
    """
    Return the values in each of *count* columns of the plot area.

    A column in which no step has a value repeats the last value to the left of the column. Columns
    before the first value and after the end of *curve* are empty.
    """

    def column(x: float) -> int:
        # The end of the axis itself would be one column too far.
        return min(int((x - frame.start) * count // frame.span), count - 1)

    buckets: list[list[float]] = [[] for _ in range(count)]
    for x, value in zip(curve.x, curve.values, strict=True):
        buckets[column(x)].append(value)
    if curve.x:
        for i in range(column(curve.x[0]) + 1, column(curve.end) + 1):
            buckets[i] = buckets[i] or buckets[i - 1][-1:]
    return buckets


def _braille(trace: _Trace, frame: _Frame) -> list[list[str]]:
    bits = [[0] * frame.columns for _ in range(frame.height)]
    for x, span in enumerate(trace.spans):
        for y in range(span[0], span[1] + 1) if span else ():
            line, dot = divmod(DOTS_PER_LINE * frame.height - 1 - y, DOTS_PER_LINE)
            bits[line][x // DOTS_PER_COLUMN] |= BITS[x % DOTS_PER_COLUMN][dot]
    cells = [[chr(BRAILLE + b) if b else " " for b in line] for line in bits]
    _mark(cells, trace.not_finite)
    return cells


def _mark(cells: list[list[str]], columns: set[int]) -> None:
    for column in columns:
        cells[0][column] = NOT_FINITE


def _dot(value: float, frame: _Frame, dots: int) -> int:
    """Return the height of *value*, in dots from the bottom."""
    # A curve that never changes has no height to divide by.
    if frame.high <= frame.low:
        return 0
    return round((value - frame.low) / (frame.high - frame.low) * (dots - 1))
