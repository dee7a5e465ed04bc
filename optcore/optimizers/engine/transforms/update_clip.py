"""Limits the change of the parameters in an update (`OptimizerSpec.clip_update`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from optcore.optimizers.engine.transforms.clipping import norms_of
from optcore.spec.optimizers.clip import ClipGlobalNorm, ClipNorm, ClipRms, ClipValue, UpdateClip


class ClippedUpdate:
    """
    Copies of the parameters before an update, used to limit their change after the update.

    The engine computes the update as if there were no limit. The state of the optimizer does not
    depend on the limit.
    """

    def __init__(self, clip: UpdateClip, params: Sequence[Tensor]) -> None:
        """Copy *params*, which are about to be updated."""
        self._clip, self._params = clip, params
        self._before = torch._foreach_clone([param.detach() for param in params])

    def limit(self) -> None:
        """Limit the change of the parameters since they were copied."""
        changes = torch._foreach_sub([param.detach() for param in self._params], self._before)
        if isinstance(self._clip, ClipValue):
            torch._foreach_clamp_min_(changes, self._clip.lowest)
            torch._foreach_clamp_max_(changes, self._clip.max)
            factors = [0.0] * len(changes)
        else:
            factors = _factors(self._clip, changes)
        for param, before, change, factor in zip(
            self._params, self._before, changes, factors, strict=True
        ):
            if factor != 1:  # where nothing is limited, the bits stay as they are
                param.detach().copy_(torch.add(before, change, alpha=factor or 1.0))


def limited_update(
    clip: UpdateClip | None, groups: Sequence[Mapping[str, Any]]
) -> ClippedUpdate | None:
    """Return copies of all parameters that have a gradient; None if *clip* is None."""
    if clip is None:
        return None
    params = [p for group in groups for p in group["params"] if p.grad is not None]
    return ClippedUpdate(clip, params)


def _factors(clip: ClipNorm | ClipRms | ClipGlobalNorm, changes: Sequence[Tensor]) -> list[float]:
    """Return the factor, at most 1, that limits each of *changes*."""
    norms = [float(norms_of([change])[0]) for change in changes]
    if isinstance(clip, ClipGlobalNorm):
        norm = sum(norm * norm for norm in norms) ** 0.5
        return [clip.max / max(norm, clip.max)] * len(norms)
    limits = [
        clip.max * (change.numel() ** 0.5 if isinstance(clip, ClipRms) else 1.0)
        for change in changes
    ]
    return [limit / max(norm, limit) for norm, limit in zip(norms, limits, strict=True)]
