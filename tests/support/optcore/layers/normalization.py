"""Cases of normalization."""

from __future__ import annotations

from math import prod

import torch
from hypothesis import assume
from hypothesis import strategies as st
from torch import Tensor, nn

from optcore.spec.layers.base import IMAGE, SEQUENCE, SIGNAL, VECTOR
from tests.support.optcore.layers.case import (
    Case,
    Draw,
    Json,
    anything,
    case,
    float32,
    of,
    shaped,
)

EPS = st.sampled_from([1e-5, 1e-3, 0.1])


class PaddleBatchNorm(nn.Module):
    def __init__(self, channels: int, momentum: float, eps: float, *, affine: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.kept, self.eps = float32(momentum), float32(eps)

    def forward(self, given: Tensor) -> Tensor:
        mean, var = self.get_buffer("running_mean"), self.get_buffer("running_var")
        if self.training:
            over = [dim for dim in range(given.dim()) if dim != 1]
            batch_mean = given.mean(over)
            centred = given - self._along(batch_mean, given)
            batch_var = centred.square().mean(over)
            with torch.no_grad():
                mean.copy_(self.kept * mean + (1 - self.kept) * batch_mean)
                var.copy_(self.kept * var + (1 - self.kept) * batch_var)
                self.get_buffer("num_batches_tracked").add_(1)
            mean, var = batch_mean, batch_var
        found = (given - self._along(mean, given)) / self._along(var + self.eps, given).sqrt()
        if self.weight is not None and self.bias is not None:
            found = found * self._along(self.weight, given) + self._along(self.bias, given)
        return found

    def _along(self, values: Tensor, given: Tensor) -> Tensor:
        return values.reshape(1, -1, *(1 for _ in given.shape[2:]))


@case("batch_norm")
def batch_norm(draw: Draw, kind: str) -> Case:
    given = shaped(draw, VECTOR, SIGNAL, IMAGE)
    momentum, eps, affine = draw(st.floats(0.01, 1)), draw(EPS), draw(st.booleans())
    dialect = draw(st.sampled_from(["torch", "paddle"]))
    spec: Json = {"kind": kind, "momentum": momentum, "eps": eps, "affine": affine}
    spec["dialect"] = dialect
    if dialect == "paddle":
        return Case(
            spec, given, lambda: PaddleBatchNorm(given.shape[0], momentum, eps, affine=affine)
        )
    norm = nn.BatchNorm2d if given.axes == IMAGE else nn.BatchNorm1d
    return Case(spec, given, lambda: norm(given.shape[0], eps, momentum, affine))


@case("layer_norm")
def layer_norm(draw: Draw, kind: str) -> Case:
    given, eps, bias = anything(draw), draw(EPS), draw(st.booleans())
    shape = given.shape[-1:] if given.axes == SEQUENCE else given.shape
    spec = {"kind": kind, "eps": eps, "bias": bias}
    return Case(spec, given, lambda: nn.LayerNorm(shape, eps, bias=bias))


@case("rms_norm")
def rms_norm(draw: Draw, kind: str) -> Case:
    given, eps = anything(draw), draw(EPS)
    shape = given.shape[-1:] if given.axes == SEQUENCE else given.shape
    return Case({"kind": kind, "eps": eps}, given, lambda: nn.RMSNorm(shape, eps))


@case("group_norm")
def group_norm(draw: Draw, kind: str) -> Case:
    axes = draw(st.sampled_from([VECTOR, SIGNAL, IMAGE]))
    groups, each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    given = of(axes, groups * each, *(draw(st.integers(1, 5)) for _ in axes[1:]))
    assume(each * prod(given.shape[1:]) > 1)
    eps = draw(EPS)
    spec = {"kind": kind, "num_groups": groups, "eps": eps}
    return Case(spec, given, lambda: nn.GroupNorm(groups, given.shape[0], eps))


@case("instance_norm")
def instance_norm(draw: Draw, kind: str) -> Case:
    given = shaped(draw, SIGNAL, IMAGE)
    assume(prod(given.shape[1:]) > 1)
    eps, affine = draw(EPS), draw(st.booleans())
    norm = nn.InstanceNorm2d if given.axes == IMAGE else nn.InstanceNorm1d
    spec = {"kind": kind, "eps": eps, "affine": affine}
    return Case(spec, given, lambda: norm(given.shape[0], eps, affine=affine))
