"""Cases of linear layers, points and squeeze-and-excite."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, VECTOR
from tests.support.optcore.layers.case import Case, Draw, Json, case, float32, shaped
from tests.support.optcore.layers.pooling import mean_by_paddle


@case("linear")
def linear(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR, SEQUENCE)
    out, bias = draw(st.integers(1, 9)), draw(st.booleans())
    spec = {"kind": kind, "out_features": out, "bias": bias}
    return Case(spec, given, lambda: nn.Linear(given.shape[-1], out, bias=bias))


class Point(nn.Module):
    def __init__(self, start: list[float]) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start))

    def forward(self, given: Tensor) -> Tensor:
        return torch.stack([self.x for _ in given])


@case("point")
def point(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR)
    number = st.floats(-1e6, 1e6, width=32)
    start = draw(number | st.lists(number, min_size=given.size, max_size=given.size))
    whole = start if isinstance(start, list) else [start] * given.size
    return Case({"kind": kind, "start": start}, given, lambda: Point(whole))


class SqueezeAndExcite(nn.Module):
    def __init__(self, channels: int, spec: Json) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, spec["squeeze_channels"], 1)
        self.fc2 = nn.Conv2d(spec["squeeze_channels"], channels, 1)
        self.spec = spec

    def forward(self, given: Tensor) -> Tensor:
        paddle = self.spec.get("dialect") == "paddle"
        mean = given.mean((2, 3), keepdim=True)
        if paddle:
            mean = mean_by_paddle(mean, given[0, 0].numel())
        inner = self.fc1(mean)
        silu = self.spec["activation"] == "silu"
        found = self.fc2(inner / (1 + torch.exp(-inner)) if silu else F.relu(inner))
        if self.spec["gate"] == "sigmoid":
            return given / (1 + torch.exp(-found))
        if "slope" not in self.spec and not paddle:
            return given * F.hardsigmoid(found)
        slope = self.spec.get("slope", 0.2 if paddle else 1 / 6)
        slope = float32(slope) if paddle else slope
        return given * torch.clamp(slope * found + 0.5, min=0, max=1)


@case("squeeze_excite")
def squeeze_excite(draw: Draw, kind: str) -> Case:
    given = shaped(draw, IMAGE)
    gate = draw(st.sampled_from(["sigmoid", "hardsigmoid"]))
    spec: Json = {"kind": kind, "squeeze_channels": draw(st.integers(1, 5)), "gate": gate}
    spec["activation"] = draw(st.sampled_from(["relu", "silu"]))
    spec["dialect"] = draw(st.sampled_from(["torch", "paddle"]))
    if gate == "hardsigmoid" and draw(st.booleans()):
        spec["slope"] = draw(st.floats(0.1, 1))
    return Case(spec, given, lambda: SqueezeAndExcite(given.shape[0], spec))
