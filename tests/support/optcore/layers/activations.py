"""Cases of activations and dropout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, VECTOR
from tests.support.optcore.layers.case import (
    Case,
    Draw,
    Formula,
    Json,
    anything,
    case,
    float32,
    shaped,
)

PLAIN: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "mish": nn.Mish,
    "identity": nn.Identity,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "hardswish": nn.Hardswish,
}


@case(*PLAIN)
def plain(draw: Draw, kind: str) -> Case:
    return Case({"kind": kind}, anything(draw), PLAIN[kind])


@case("leaky_relu")
def leaky_relu(draw: Draw, kind: str) -> Case:
    slope = draw(st.floats(0, 2))
    spec = {"kind": kind, "negative_slope": slope}
    return Case(spec, anything(draw), lambda: nn.LeakyReLU(slope))


@case("prelu")
def prelu(draw: Draw, kind: str) -> Case:
    if draw(st.booleans()):
        return Case({"kind": kind}, anything(draw), nn.PReLU)
    given = shaped(draw, VECTOR, SIGNAL, IMAGE)
    number = given.shape[0]
    return Case({"kind": kind, "num_parameters": number}, given, lambda: nn.PReLU(number))


@case("softplus")
def softplus(draw: Draw, kind: str) -> Case:
    beta, threshold = draw(st.floats(0.1, 3)), draw(st.floats(0, 20))
    spec = {"kind": kind, "beta": beta, "threshold": threshold}
    return Case(spec, anything(draw), lambda: nn.Softplus(beta, threshold))


@case("elu")
def elu(draw: Draw, kind: str) -> Case:
    alpha = draw(st.floats(0.1, 2))
    return Case({"kind": kind, "alpha": alpha}, anything(draw), lambda: nn.ELU(alpha))


@case("gelu")
def gelu(draw: Draw, kind: str) -> Case:
    approximate = draw(st.sampled_from(["none", "tanh"]))
    spec = {"kind": kind, "approximate": approximate}
    return Case(spec, anything(draw), lambda: nn.GELU(approximate))


@case("hardsigmoid")
def hardsigmoid(draw: Draw, kind: str) -> Case:
    given = anything(draw)
    if draw(st.booleans()):
        return Case({"kind": kind}, given, nn.Hardsigmoid)
    slope, offset = draw(st.floats(0.1, 1)), draw(st.floats(-1, 1))
    dialect = draw(st.sampled_from(["torch", "paddle"]))
    spec: Json = {"kind": kind, "slope": slope, "offset": offset, "dialect": dialect}
    if dialect == "paddle":
        slope, offset = float32(slope), float32(offset)

    def formula(given: Tensor) -> Tensor:
        return torch.clamp(slope * given + offset, min=0, max=1)

    return Case(spec, given, lambda: Formula(formula))


@case("softmax", "log_softmax")
def softmax(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR, SEQUENCE, IMAGE)
    dim = {VECTOR: 1, SEQUENCE: 2, IMAGE: 1}[given.axes]
    module = {"softmax": nn.Softmax, "log_softmax": nn.LogSoftmax}[kind]
    return Case({"kind": kind}, given, lambda: module(dim))


@case("dropout")
def dropout(draw: Draw, kind: str) -> Case:
    p = draw(st.floats(0, 0.9))
    return Case({"kind": kind, "p": p}, anything(draw), lambda: nn.Dropout(p))
