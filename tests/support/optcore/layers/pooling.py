"""Cases of pools."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL
from tests.support.optcore.layers.case import (
    Case,
    Draw,
    Formula,
    Json,
    alone,
    case,
    dims_of,
    each,
    float32,
    of,
    per_axis,
    shaped,
)

MODULES = {
    "max_pool1d": nn.MaxPool1d,
    "max_pool2d": nn.MaxPool2d,
    "avg_pool1d": nn.AvgPool1d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool1d": nn.AdaptiveAvgPool1d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "adaptive_max_pool1d": nn.AdaptiveMaxPool1d,
    "adaptive_max_pool2d": nn.AdaptiveMaxPool2d,
}
Window = tuple[int, int, int]
"""The first pixel, the one behind the last, and the number that the sum is divided by."""


def mean_by_paddle(mean: Tensor, count: int) -> Tensor:
    """Return *mean*, whose gradient in Paddle is that of the sum, times 1 / count as a float32."""
    total = mean * count
    return mean.detach() + (total - total.detach()) * float32(1 / count)


class PaddleMeans(nn.Module):
    """Means of windows, written as sums of pixels."""

    def __init__(self, windows: Sequence[Sequence[Window]]) -> None:
        super().__init__()
        self.windows = windows

    def forward(self, given: Tensor) -> Tensor:
        found = []
        for window in itertools.product(*self.windows):
            pixels = given
            count = 1
            for dim, (first, end, number) in enumerate(window, 2):
                pixels = pixels.narrow(dim, first, end - first)
                count *= number
            mean = pixels.flatten(2).sum(2) / count
            found.append(mean_by_paddle(mean, count))
        sides = [len(axis) for axis in self.windows]
        return torch.stack(found, 2).reshape(*given.shape[:2], *sides)


@case("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d")
def pool(draw: Draw, kind: str) -> Case:
    dims = dims_of(kind)
    kernel = per_axis(draw, dims, 1, 4)
    spec: Json = {"kind": kind, "kernel_size": kernel, "ceil_mode": draw(st.booleans())}
    strides = each(kernel, dims)
    if draw(st.booleans()):
        spec["stride"] = per_axis(draw, dims, 1, 4)
        strides = each(spec["stride"], dims)
    windows = each(kernel, dims)
    apart = (1,) * dims
    if kind.startswith("max"):
        spec["dilation"] = per_axis(draw, dims, 1, 3)
        apart = each(spec["dilation"], dims)
        windows = tuple(by * (k - 1) + 1 for k, by in zip(windows, apart, strict=True))
    spec["padding"] = per_axis(draw, dims, 0, min(each(kernel, dims)) // 2)
    paddings = each(spec["padding"], dims)
    sides = [  # with ceil_mode, a window may also be larger than the image
        draw(st.integers(max(by, size - 2 * pad - spec["ceil_mode"] * (stride - 1)), 12))
        for size, by, pad, stride in zip(windows, apart, paddings, strides, strict=True)
    ]
    options = {name: value for name, value in spec.items() if name != "kind"}
    for name in ("kernel_size", "stride", "padding", "dilation"):
        if name in options:
            options[name] = alone(each(options[name], dims))
    given = of(IMAGE if dims == len(IMAGE) - 1 else SIGNAL, draw(st.integers(1, 3)), *sides)
    if kind.startswith("avg"):
        options["count_include_pad"] = spec["count_include_pad"] = draw(st.booleans())
        if draw(st.booleans()):
            spec["dialect"] = "paddle"
            sizes = zip(sides, each(kernel, dims), strides, paddings, strict=True)
            means = [windows_of(spec, *size) for size in sizes]
            return Case(spec, given, lambda: PaddleMeans(means))
    return Case(spec, given, lambda: MODULES[kind](**options))


def windows_of(spec: Json, side: int, kernel: int, stride: int, padding: int) -> list[Window]:
    """Return the windows along an axis."""
    found: list[Window] = []
    for first in range(-padding, side + padding, stride):
        end = first + kernel
        # Whole windows; with ceil_mode, also a last one that begins in the image or before it.
        if end > side + padding and not (spec["ceil_mode"] and first < side):
            break
        end = min(end, side + padding)
        inside = min(end, side) - max(first, 0)
        number = end - first if spec["count_include_pad"] else inside
        found.append((max(first, 0), min(end, side), number))
        if end == side + padding:
            break
    return found


@case(
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d"),
    *("adaptive_max_pool1d", "adaptive_max_pool2d"),
)
def adaptive(draw: Draw, kind: str) -> Case:
    dims = dims_of(kind)
    size = per_axis(draw, dims, 1, 5)
    given = shaped(draw, IMAGE if dims == len(IMAGE) - 1 else SIGNAL)
    spec: Json = {"kind": kind, "output_size": size}
    if "avg" in kind and draw(st.booleans()):
        spec["dialect"] = "paddle"
        windows = [
            [bounds(side, k, number) for k in range(number)]
            for side, number in zip(given.shape[1:], each(size, dims), strict=True)
        ]
        return Case(spec, given, lambda: PaddleMeans(windows))
    return Case(spec, given, lambda: MODULES[kind](alone(each(size, dims))))


def bounds(side: int, k: int, number: int) -> Window:
    """Return window k of *number*: from floor(k * side / number) to ceil((k + 1) * side / ...)."""
    first, end = k * side // number, -(-(k + 1) * side // number)
    return first, end, end - first


@case("global_pool")
def global_pool(draw: Draw, kind: str) -> Case:
    given = shaped(draw, IMAGE, SIGNAL, SEQUENCE)
    mode = draw(st.sampled_from(["mean", "max"]))

    def pooled(values: Tensor) -> Tensor:
        rows = values.transpose(1, 2) if given.axes == SEQUENCE else values.flatten(2)
        return rows.mean(2) if mode == "mean" else rows.max(2).values

    return Case({"kind": kind, "mode": mode}, given, lambda: Formula(pooled))
