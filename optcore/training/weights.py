"""Copies of the weights: their moving average, and the slow weights of lookahead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from optcore.optimizers.engine.swapped import swapped
from optcore.spec import weights as spec


class Ema:
    """
    The moving average of a network's parameters and running statistics.

    `optcore.spec.weights.ShadowEma` has the formula.

    Attributes:
        tensors: name -> average, in float32 or wider.
    """

    def __init__(self, model: nn.Module, ema: spec.ShadowEma) -> None:
        self._spec = ema
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._tracked = {name: t for name, t in named.items() if t.is_floating_point()}
        self.tensors = {
            name: t.detach().to(torch.promote_types(t.dtype, torch.float32), copy=True)
            for name, t in self._tracked.items()
        }

    def update(self, t: int) -> None:
        """Add the current weights to the average, after update *t* (1 for the first)."""
        decay = self._spec.decay
        if self._spec.warmup:
            decay = min(decay, (1 + t) / (10 + t))
        if self._spec.ramp is not None:
            decay *= -math.expm1(-t / self._spec.ramp)
        if self._spec.begin is not None and t <= self._spec.begin:
            decay = 0.0
        with torch.no_grad():
            means = list(self.tensors.values())
            # torch's foreach_lerp takes tensors of one dtype.
            now = [t.to(mean.dtype) for t, mean in zip(self._now(), means, strict=True)]
            torch._foreach_lerp_(means, now, 1 - decay)

    def in_place(self) -> AbstractContextManager[None]:
        """Replace the trained weights by their average, inside a ``with`` block."""
        return swapped(zip(self._now(), self.tensors.values(), strict=True))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the average from *tensors*."""
        _load(self.tensors, tensors)

    def _now(self) -> list[Tensor]:
        return list(self._tracked.values())


class Slow:
    """
    The slow weights of lookahead; see `optcore.spec.weights.Lookahead`.

    Attributes:
        tensors: parameter name -> slow weights.
    """

    def __init__(self, model: nn.Module, lookahead: spec.Lookahead) -> None:
        self._spec = lookahead
        self._params: dict[str, Tensor] = dict(model.named_parameters())
        self.tensors = {name: param.detach().clone() for name, param in self._params.items()}

    def update(self, t: int) -> None:
        """If due after update *t*, move the slow weights, then copy them to the trained weights."""
        if t % self._spec.every:
            return
        fast, slow = list(self._params.values()), list(self.tensors.values())
        with torch.no_grad():
            torch._foreach_lerp_(slow, fast, self._spec.alpha)
            # In place, so that the parameters stay in their flat buffer. A float32 copy would miss
            # the change, so the spec refuses lookahead together with multi_precision.
            torch._foreach_copy_(fast, slow)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the slow weights from *tensors*."""
        _load(self.tensors, tensors)


def _load(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    assert into.keys() == tensors.keys(), into.keys() ^ tensors.keys()
    for name, tensor in into.items():
        tensor.copy_(tensors[name])
