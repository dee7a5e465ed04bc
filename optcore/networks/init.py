"""Initial values of parameters, drawn from torch's global generator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import torch
from torch import Tensor, nn

from optcore.spec.layers import init as spec
from optcore.spec.layers.init import AnyInit


def initialise(module: nn.Module, inits: Iterable[tuple[str, AnyInit]]) -> None:
    """Set parameters of *module*; *inits* are pairs of a name and its initialisation."""
    for name, init in inits:
        with torch.no_grad():
            _fill(module.get_parameter(name), init)


def _fill(tensor: Tensor, init: AnyInit) -> None:
    match init:
        case spec.Zeros():
            nn.init.zeros_(tensor)
        case spec.Ones():
            nn.init.ones_(tensor)
        case spec.Constant():
            nn.init.constant_(tensor, init.value)
        case spec.Uniform():
            nn.init.uniform_(tensor, init.low, init.high)
        case spec.Normal():
            nn.init.normal_(tensor, init.mean, init.std)
        case spec.TruncNormal():
            # torch's limits are absolute numbers, -2 and 2 by default, whatever std is.
            low, high = init.mean - 2 * init.std, init.mean + 2 * init.std
            nn.init.trunc_normal_(tensor, init.mean, init.std, low, high)
        case spec.XavierUniform():
            nn.init.xavier_uniform_(tensor, init.gain)
        case spec.XavierNormal():
            nn.init.xavier_normal_(tensor, init.gain)
        case spec.KaimingUniform():
            nn.init.kaiming_uniform_(tensor, init.slope, init.mode)
        case spec.KaimingNormal():
            nn.init.kaiming_normal_(tensor, init.slope, init.mode)
        case spec.Orthogonal():
            nn.init.orthogonal_(tensor, init.gain)
        case _:
            assert_never(init)
