"""Cases of blocks; the layers in them are linear, conv2d, relu, tanh and max_pool2d."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, VECTOR, TensorSpec
from tests.support.optcore.layers.case import Case, Draw, Json, case, shaped

MOST = 4
"""Largest number of layers in a part of a block."""


class Chain(NamedTuple):
    """Layers one after another: as JSON, and a function that makes their modules."""

    layers: list[Json]
    made: Callable[[], nn.Sequential]


def chain(draw: Draw, given: TensorSpec, out: int, *, empty: bool = False) -> Chain:
    """Draw layers that return *out* channels or features, and else what they take."""
    layers: list[Json] = []
    makers: list[tuple[str, Callable[[], nn.Module]]] = []
    image = given.axes == IMAGE
    width = given.shape[0] if image else given.shape[-1]

    def append(spec: Json, maker: Callable[[], nn.Module]) -> None:
        if draw(st.booleans()):
            spec["name"] = f"layer{len(layers)}"
        makers.append((spec.get("name", str(len(layers))), maker))
        layers.append(spec)

    def append_width(wanted: int) -> None:
        if image:
            spec: Json = {"kind": "conv2d", "out_channels": wanted, "kernel_size": 1}
            before = width
            append(spec, lambda: nn.Conv2d(before, wanted, 1))
        else:
            before = width
            spec = {"kind": "linear", "out_features": wanted}
            append(spec, lambda: nn.Linear(before, wanted))

    kinds = ["relu", "tanh", "width", *(["max_pool2d"] if image else [])]
    for _ in range(draw(st.integers(0 if empty else 1, MOST - 1))):
        match draw(st.sampled_from(kinds)):
            case "relu":
                append({"kind": "relu"}, nn.ReLU)
            case "tanh":
                append({"kind": "tanh"}, nn.Tanh)
            case "max_pool2d":
                spec = {"kind": "max_pool2d", "kernel_size": 3, "stride": 1, "padding": 1}
                append(spec, lambda: nn.MaxPool2d(3, 1, 1))
            case _:
                wanted = draw(st.integers(1, 4))
                append_width(wanted)
                width = wanted
    if width != out:
        append_width(out)
    elif not layers and not empty:
        append({"kind": "relu"}, nn.ReLU)
    return Chain(layers, lambda: sequence(makers))


def sequence(makers: list[tuple[str, Callable[[], nn.Module]]]) -> nn.Sequential:
    found = nn.Sequential()
    for name, maker in makers:
        found.add_module(name, maker())
    return found


def width_of(given: TensorSpec) -> int:
    return given.shape[0] if given.axes == IMAGE else given.shape[-1]


@case("sequential")
def sequential(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR, SEQUENCE, IMAGE)
    inner = chain(draw, given, draw(st.integers(1, 4)))
    return Case({"kind": kind, "layers": inner.layers}, given, inner.made)


@case("repeat")
def repeat(draw: Draw, kind: str) -> Case:
    given, times = shaped(draw, VECTOR, SEQUENCE, IMAGE), draw(st.integers(1, 4))
    inner = chain(draw, given, width_of(given))
    spec = {"kind": kind, "times": times, "layers": inner.layers}
    return Case(spec, given, lambda: nn.Sequential(*(inner.made() for _ in range(times))))


class Sum(nn.Module):
    def __init__(self, layers: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.layers, self.shortcut = layers, shortcut

    def forward(self, given: Tensor) -> Tensor:
        first: Tensor = self.layers(given.clone())
        second: Tensor = self.shortcut(given.clone())
        return first + second


@case("residual")
def residual(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR, SEQUENCE, IMAGE)
    shortcut = chain(draw, given, draw(st.integers(1, 4)), empty=True)
    out = width_of(given)
    if shortcut.layers:
        out = draw(st.integers(1, 4))
        shortcut = chain(draw, given, out)
    inner = chain(draw, given, out)
    spec = {"kind": kind, "layers": inner.layers, "shortcut": shortcut.layers}
    return Case(spec, given, lambda: Sum(inner.made(), shortcut.made()))


class Joined(nn.Module):
    def __init__(self, branches: list[nn.Sequential], join: str, dim: int) -> None:
        super().__init__()
        self.number, self.join, self.dim = len(branches), join, dim
        for i, branch in enumerate(branches):
            setattr(self, str(i), branch)

    def forward(self, given: Tensor) -> Tensor:
        outputs = [getattr(self, str(i))(given.clone()) for i in range(self.number)]
        if self.join == "concat":
            return torch.cat(outputs, self.dim)
        stacked = torch.stack(outputs)
        return stacked.sum(0) if self.join == "add" else stacked.prod(0)


@case("parallel")
def parallel(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR, SEQUENCE, IMAGE)
    join = draw(st.sampled_from(["add", "multiply", "concat"]))
    out = draw(st.sampled_from([width_of(given), 2]))
    branches = [
        chain(draw, given, draw(st.integers(1, 4)) if join == "concat" else out, empty=True)
        for _ in range(draw(st.integers(2, 4)))
    ]
    dim = 2 if given.axes == SEQUENCE else 1
    return Case(
        {"kind": kind, "branches": [branch.layers for branch in branches], "join": join},
        given,
        lambda: Joined([branch.made() for branch in branches], join, dim),
    )
