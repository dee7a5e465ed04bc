"""Cases of convolutions."""

from __future__ import annotations

from hypothesis import strategies as st
from torch import nn

from optcore.spec.layers.base import IMAGE, SIGNAL
from tests.support.optcore.layers.case import (
    Case,
    Draw,
    Json,
    alone,
    case,
    dims_of,
    each,
    of,
    per_axis,
)

MODULES = {
    "conv1d": nn.Conv1d,
    "conv2d": nn.Conv2d,
    "conv_transpose1d": nn.ConvTranspose1d,
    "conv_transpose2d": nn.ConvTranspose2d,
}


@case("conv1d", "conv2d")
def convolution(draw: Draw, kind: str) -> Case:
    dims = dims_of(kind)
    spec, channels = common(draw, kind)
    spec["padding_mode"] = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    kernel, padding = each(spec["kernel_size"], dims), each(spec["padding"], dims)
    dilation = each(spec["dilation"], dims)
    # Large enough for the kernel, and for what is reflected or repeated.
    sides = [
        draw(st.integers(max(by * (k - 1) + 1 - 2 * pad, pad + 1, 1), 12))
        for k, pad, by in zip(kernel, padding, dilation, strict=True)
    ]
    return by_torch(spec, channels, sides)


@case("conv_transpose1d", "conv_transpose2d")
def transposed(draw: Draw, kind: str) -> Case:
    dims = dims_of(kind)
    spec, channels = common(draw, kind)
    stride, dilation = each(spec["stride"], dims), each(spec["dilation"], dims)
    further = [draw(st.integers(0, max(a, b) - 1)) for a, b in zip(stride, dilation, strict=True)]
    spec["output_padding"] = further if len(set(further)) > 1 else further[0]
    # Large enough that padding leaves a pixel.
    sides = [draw(st.integers(2 * pad + 1, 8)) for pad in each(spec["padding"], dims)]
    return by_torch(spec, channels, sides)


def common(draw: Draw, kind: str) -> tuple[Json, int]:
    """Draw what all convolutions have, and the number of input channels."""
    dims = dims_of(kind)
    groups = draw(st.integers(1, 3))
    spec: Json = {
        "kind": kind,
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": per_axis(draw, dims, 1, 3),
        "stride": per_axis(draw, dims, 1, 3),
        "padding": per_axis(draw, dims, 0, 2),
        "dilation": per_axis(draw, dims, 1, 2),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return spec, groups * draw(st.integers(1, 3))


def by_torch(spec: Json, channels: int, sides: list[int]) -> Case:
    dims = len(sides)
    options = {name: value for name, value in spec.items() if name not in ("kind", "out_channels")}
    for name in ("kernel_size", "stride", "padding", "dilation", "output_padding"):
        if name in options:
            options[name] = alone(each(options[name], dims))
    return Case(
        spec,
        of(IMAGE if dims == len(IMAGE) - 1 else SIGNAL, channels, *sides),
        lambda: MODULES[spec["kind"]](channels, spec["out_channels"], **options),
    )
