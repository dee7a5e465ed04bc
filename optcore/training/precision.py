"""Precision: in which dtype a step is computed, and the scale that keeps small gradients alive."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from optcore.spec.base import Dialect
from optcore.spec.loss_scale import DynamicLossScale, FixedLossScale, first_scale
from optcore.spec.training import Precision

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "fp64": torch.float64,
    "bf16": torch.float32,
    "fp16": torch.float32,
    "bf16_true": torch.bfloat16,
    "fp16_true": torch.float16,
}
"""Of parameters."""
AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Of what autocast computes in less."""
MAX_OVERFLOWS = 200
"""Steps in a row without a finite gradient after which it is not the scale that makes them so."""
MAX_SCALE = torch.finfo(torch.float32).max
"""Beyond it a scale does not grow."""
MINDSPORE_FLOOR = 1.0
"""Smallest dynamic scale of MindSpore."""


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return what a forward pass is to be computed in; may be entered again and again."""
    dtype = AUTOCAST.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


class Scaler:
    """
    A loss scale as it goes.

    Attributes:
        scale: of the next update.
        finite: updates in a row whose gradient was finite, since the scale last grew.
        overflows: steps in a row whose gradient was not.
    """

    def __init__(self, spec: FixedLossScale | DynamicLossScale, dialect: Dialect) -> None:
        self._spec = spec
        self._floor = MINDSPORE_FLOOR if dialect == "mindspore" else 0.0
        self.scale, self.finite, self.overflows = first_scale(spec, dialect), 0, 0

    @property
    def drops(self) -> bool:
        """Whether an update whose gradient is not finite is skipped."""
        return isinstance(self._spec, DynamicLossScale) or self._spec.drop_overflow

    def update(self, *, finite: bool) -> None:
        """Take note of whether a gradient was finite; the scale is that of the next update."""
        spec = self._spec
        self.overflows = 0 if finite else self.overflows + 1
        if isinstance(spec, FixedLossScale):
            return
        if not finite:
            self.scale, self.finite = max(self._floor, self.scale * spec.backoff), 0
            return
        self.finite += 1
        if self.finite == spec.window:
            grown = self.scale * spec.growth
            self.scale, self.finite = grown if grown <= MAX_SCALE else self.scale, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes, as JSON can hold it."""
        return {"scale": self.scale, "finite": self.finite, "overflows": self.overflows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where *state* was."""
        self.scale, self.finite = state["scale"], state["finite"]
        self.overflows = state["overflows"]


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Return whether no value of *tensors* is NaN or infinite."""
    filled = [tensor for tensor in tensors if tensor.numel()]
    if not filled:
        return True
    largest = torch._foreach_norm(filled, torch.inf)
    return bool(torch.stack([value.float() for value in largest]).isfinite().all())
