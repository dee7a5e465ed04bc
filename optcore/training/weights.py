"""Copies of the weights: their moving average, and the slow weights of lookahead."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from optcore.optimizers.engine.swapped import swapped
from optcore.schedules.make import Schedule, make_schedule
from optcore.spec import weights as spec
from optcore.spec.duration import RunLength


class Ema:
    """
    The moving average of a network's trained parameters and running statistics.

    `optcore.spec.weights.ShadowEma` and `optcore.spec.weights.Swa` have the formulas. The formulas
    use the number of updates of the average so far. This number is not stored: it is computed from
    the number of updates of the weights.

    Frozen parameters have no average here, since they never change.

    Attributes:
        tensors: name of a parameter or running statistic -> average, in float32 or wider.
        statistics: the names of the running statistics.
        before: the number of updates of the weights in the earlier runs that this run continues.
    """

    def __init__(self, model: nn.Module, ema: spec.ShadowEma | spec.Swa, run: RunLength) -> None:
        self._spec, self._run, self.before = ema, run, 0
        self._begun = ema.begun(run)
        self._updates_before = ema.updates_in(self._begun, run)
        self._schedule = _schedule(ema, run)
        params = _trained(model)
        named = {**params, **dict(model.named_buffers())}
        self._tracked = {name: t for name, t in named.items() if t.is_floating_point()}
        self.tensors = {
            name: t.detach().to(torch.promote_types(t.dtype, torch.float32), copy=True)
            for name, t in self._tracked.items()
        }
        self.statistics = [name for name in self._tracked if name not in params]
        copied = () if ema.statistics == "average" else self.statistics
        self._averaged = [name for name in self._tracked if name not in copied]
        self._copied = [name for name in self._tracked if name in copied]

    def update(self, t: int) -> None:
        """
        Add the weights after update *t* to the average, if the average is updated then.

        *t* counts the updates of the weights from 1. The spec may say that only every n-th update
        of the weights updates the average.
        """
        before = self._spec.updates_in(self.before + t - 1, self._run)
        if self._spec.updates_in(self.before + t, self._run) == before:
            return
        # Not negative: until the average begins, every update copies.
        weight = self._weight(t, max(0, before - self._updates_before))
        with torch.no_grad():
            means = [self.tensors[name] for name in self._averaged]
            # torch's foreach_lerp takes tensors of one dtype.
            now = [self._tracked[name].to(self.tensors[name].dtype) for name in self._averaged]
            torch._foreach_lerp_(means, now, weight)
            for name in self._copied:
                self.tensors[name].copy_(self._tracked[name])

    def _weight(self, t: int, num_averaged: int) -> float:
        """
        Return the share that the weights after update *t* get in the average.

        *num_averaged* is the number of updates of the average from its begin until now.
        """
        ema, now = self._spec, self.before + t
        if now <= self._begun:
            return 1.0
        if isinstance(ema, spec.Swa):
            return 1 / (num_averaged + 1)
        if ema.copy_first and num_averaged == 0:
            return 1.0
        decay = ema.decay if self._schedule is None else self._schedule(t - 1)
        if ema.warmup:
            decay = min(decay, (1 + now) / (10 + now))
        if ema.ramp is not None:
            decay *= -math.expm1(-now / ema.ramp)
        if ema.power is not None:
            decay = min(decay, 1 - (1 + now - self._begun) ** -ema.power)
        return 1 - decay

    @property
    def recomputes(self) -> bool:
        """Whether each evaluation recomputes the running statistics for the averaged weights."""
        return self._spec.statistics == "recompute" and bool(self.statistics)

    def in_place(self) -> AbstractContextManager[None]:
        """Replace the trained weights by their average, inside a ``with`` block."""
        return swapped(zip(self._now(), self.tensors.values(), strict=True))

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the average from *tensors*."""
        _load(self.tensors, tensors)

    def _now(self) -> list[Tensor]:
        return list(self._tracked.values())


def _schedule(ema: spec.ShadowEma | spec.Swa, run: RunLength) -> Schedule | None:
    """Return the schedule of the decay; None if the decay has no schedule."""
    if isinstance(ema, spec.Swa) or not ema.schedules:
        return None
    return make_schedule(
        ema.schedules["decay"],
        lr=ema.decay,
        total_steps=run.total_steps,
        steps_per_epoch=run.steps_per_epoch,
    )


class Slow:
    """
    The slow weights of lookahead; see `optcore.spec.weights.Lookahead`.

    Attributes:
        tensors: parameter name -> slow weights.
        before: the number of updates of the weights in the earlier runs that this run continues.
    """

    def __init__(self, model: nn.Module, lookahead: spec.Lookahead) -> None:
        self._spec, self.before = lookahead, 0
        self._params = _trained(model)
        self.tensors = {name: param.detach().clone() for name, param in self._params.items()}

    def update(self, t: int) -> None:
        """
        Move the slow weights and copy them to the trained weights, once per `every` updates.

        *t* counts the updates from 1. `every` is a field of the spec.
        """
        if (self.before + t) % self._spec.every:
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


def _trained(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of *model* that are trained, by name."""
    return {name: param for name, param in model.named_parameters() if param.requires_grad}


def _load(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    assert into.keys() == tensors.keys(), into.keys() ^ tensors.keys()
    for name, tensor in into.items():
        tensor.copy_(tensors[name])
