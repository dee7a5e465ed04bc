"""Curves as SVG: every extreme is drawn, and the same numbers always give the same text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")
"""The colours of the curves, used in turn; red-blind readers can tell them apart."""
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 30, 28
"""The margins around the curves, in pixels."""
FONT = 'font-family="system-ui, sans-serif" font-size="12"'


def svg(
    curves: Mapping[str, NDArray[np.float64]], *, title: str, width: int = 640, height: int = 240
) -> str:
    """Return an SVG picture of *curves*; `svg_parts` describes the arguments."""
    return "".join(svg_parts(curves, title=title, width=width, height=height))


def svg_parts(
    curves: Mapping[str, NDArray[np.float64]], *, title: str, width: int = 640, height: int = 240
) -> Iterator[str]:
    """
    Yield the text of an SVG picture of *curves*, part by part.

    A curve with more than two steps per pixel across is drawn through the lowest and the highest
    value within each pixel.

    Args:
        curves: name -> one value per step; all values are finite.
        title: the text above the curves.
        width: the width of the picture, in pixels.
        height: the height of the picture, in pixels.
    """
    low = min(0.0, *(float(curve.min()) for curve in curves.values()))
    high = max(float(curve.max()) for curve in curves.values())
    # If all values are 0, the height, by which y divides, must not be 0.
    high = high if high > low else low + 1
    frame = _Frame(width, height, low, high, max(len(curve) for curve in curves.values()))
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<g {FONT} fill="#374151">',
        *frame.labels(),
        *_legend(list(curves), title, width),
        "</g>\n",
    ]
    yield "\n".join(head)
    for i, curve in enumerate(curves.values()):
        yield (
            f'<polyline points="{frame.points(curve)}" fill="none" stroke-width="1.5" '
            f'stroke="{COLOURS[i % len(COLOURS)]}" stroke-linejoin="round"/>\n'
        )
    yield "</svg>\n"


class _Frame:
    """The frame around the curves: converts steps and values to positions in the picture."""

    def __init__(self, width: int, height: int, low: float, high: float, steps: int) -> None:
        self.low, self.high, self.steps = low, high, steps
        self.left, self.right = LEFT, width - RIGHT
        self.top, self.bottom = TOP, height - BOTTOM

    def y(self, value: float) -> float:
        """Return the distance of *value* from the top of the picture, in pixels."""
        part = (value - self.low) / (self.high - self.low)
        return self.bottom - part * (self.bottom - self.top)

    def points(self, curve: NDArray[np.float64]) -> str:
        """Return *curve* as the ``points`` attribute of an SVG polyline."""
        columns = (self.right - self.left) * 2
        span = max(1, self.steps - 1)
        if len(curve) <= columns:
            at, values = np.arange(len(curve)), curve
        else:
            at, values = _extremes(curve, columns)
        x = self.left + at / span * (self.right - self.left)
        part = (values - self.low) / (self.high - self.low)
        y = self.bottom - part * (self.bottom - self.top)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))

    def labels(self) -> list[str]:
        """Return the SVG elements for the axes and for the numbers beside them."""
        floor, ceiling = self.y(self.low), self.y(self.high)
        axes = f"M{self.left},{ceiling:.1f} V{floor:.1f} H{self.right}"
        lines = [f'<path d="{axes}" fill="none" stroke="#9ca3af"/>']
        # A set, since low is mostly 0; the lines are sorted, since a set has no order.
        for value in {self.low, 0.0, (self.low + self.high) / 2, self.high}:
            lines.append(
                f'<text x="{self.left - 6}" y="{self.y(value) + 4:.1f}" text-anchor="end">'
                f"{value:.4g}</text>"
            )
        lines.sort()
        below = self.bottom + 18
        lines.append(f'<text x="{self.left}" y="{below}">0</text>')
        last = self.steps - 1
        lines.append(f'<text x="{self.right}" y="{below}" text-anchor="end">step {last}</text>')
        return lines


def _extremes(
    curve: NDArray[np.float64], columns: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """
    Divide *curve* into *columns* / 2 spans; return the lowest and highest point of each span.

    The points are returned as an array of steps and an array of values. The first and the last
    point of the curve are included.
    """
    edges = np.arange(columns // 2 + 1) * len(curve) // (columns // 2)
    found = []
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = curve[start:stop]
        found += sorted({start + int(part.argmin()), start + int(part.argmax())})
    # The first and the last step are included, so that the line spans the axis.
    at = np.asarray(sorted({0, *found, len(curve) - 1}))
    return at, curve[at]


def _legend(names: list[str], title: str, width: int) -> list[str]:
    lines = [f'<text x="{LEFT}" y="18" font-weight="600">{escape(title)}</text>']
    if len(names) == 1:
        return lines
    x = width - RIGHT
    for i, name in reversed(list(enumerate(names))):
        label = name if len(name) <= 16 else name[:15] + "…"  # noqa: PLR2004
        colour = COLOURS[i % len(COLOURS)]
        text = f'<text x="{x}" y="18" text-anchor="end" fill="{colour}">{escape(label)}</text>'
        lines.append(text)
        # The text cannot be measured here; 8 pixels are assumed for a character of size 12.
        x -= 8 * len(label) + 14
        # Further names would run into the title.
        if x < width // 2:
            break
    return lines
