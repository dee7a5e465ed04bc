"""Cases of layers that arrange values anew."""

from __future__ import annotations

from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, VECTOR
from tests.support.optcore.layers.case import (
    Case,
    Draw,
    Formula,
    Json,
    alone,
    anything,
    case,
    each,
    of,
    per_axis,
    shaped,
)

AXES = {"vector": VECTOR, "sequence": SEQUENCE, "signal": SIGNAL, "image": IMAGE}


@case("flatten")
def flatten(draw: Draw, kind: str) -> Case:
    return Case({"kind": kind}, anything(draw), nn.Flatten)


@case("reshape")
def reshape(draw: Draw, kind: str) -> Case:
    given = anything(draw)
    left, shape = given.size, []
    for _ in range(draw(st.integers(0, 2))):
        shape.append(draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= shape[-1]
    shape.append(left)
    named = {1: ["vector"], 2: ["sequence", "signal"], 3: ["image"]}[len(shape)]
    spec: Json = {"kind": kind, "shape": list(shape), "axes": draw(st.sampled_from([None, *named]))}
    if draw(st.booleans()):
        spec["shape"][draw(st.integers(0, len(shape) - 1))] = -1
    return Case(spec, given, lambda: Formula(lambda values: values.reshape(-1, *shape)))


@case("permute")
def permute(draw: Draw, kind: str) -> Case:
    channels, length = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    shapes = {
        "sequence": (length, channels),
        "signal": (channels, length),
        "image": (channels, 1, length),
    }
    first, then = draw(st.sampled_from(list(shapes))), draw(st.sampled_from(list(shapes)))

    def permuted(values: Tensor) -> Tensor:
        signal = {
            "sequence": lambda: values.transpose(1, 2),
            "signal": lambda: values,
            "image": lambda: values[:, :, 0],
        }[first]()
        return {
            "sequence": lambda: signal.transpose(1, 2),
            "signal": lambda: signal,
            "image": lambda: signal[:, :, None],
        }[then]()

    spec = {"kind": kind, "axes": then}
    return Case(spec, of(AXES[first], *shapes[first]), lambda: Formula(permuted))


@case("upsample")
def upsample(draw: Draw, kind: str) -> Case:
    given = shaped(draw, SIGNAL, IMAGE, most=4)
    dims = len(given.axes) - 1
    factor = per_axis(draw, dims, 1, 3)
    mode = draw(st.sampled_from(["nearest", "linear"] if dims == 1 else ["nearest", "bilinear"]))
    if dims > 1 and draw(st.booleans()):
        mode = "bicubic"
    spec: Json = {"kind": kind, "scale_factor": factor, "mode": mode}
    corners = None if mode == "nearest" else draw(st.booleans())
    if corners is not None:
        spec["align_corners"] = corners
    scale = alone(each(factor, dims))
    return Case(
        spec, given, lambda: nn.Upsample(scale_factor=scale, mode=mode, align_corners=corners)
    )
