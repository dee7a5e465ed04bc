"""The dtypes in which a step is computed, and the loss scale."""

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
    "mindspore_o1": torch.float32,
    "mindspore_o2": torch.float32,
    "mindspore_o3": torch.float32,
}
"""Precision -> dtype of the parameters."""
AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""Precision -> dtype that autocast uses for the operations that it selects."""
MAX_OVERFLOWS = 200
"""Number of steps in a row without a finite gradient after which a run ends, since no loss scale
would help."""
MAX_SCALE = torch.finfo(torch.float32).max
"""Largest loss scale: a step that would raise the scale above it leaves the scale unchanged."""
MINDSPORE_FLOOR = 1.0
"""Smallest dynamic loss scale in the dialect mindspore."""


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Return the autocast context for forward passes; it may be entered many times."""
    dtype = AUTOCAST.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


class Scaler:
    """
    The loss scale of a run, which changes from step to step if it is dynamic.

    Attributes:
        scale: the loss scale of the next step.
        finite: the number of steps in a row whose gradient was finite. After ``window`` such steps,
            it starts at 0 again. It stays 0 with a fixed scale.
        overflows: the number of steps in a row whose gradient was not finite.
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
        """Set the scale of the next step. *finite* says whether this step's gradient was finite."""
        spec = self._spec
        self.overflows = 0 if finite else self.overflows + 1
        # After counting, since overflows in a row also end a run with a fixed scale.
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
        """Return the state for `load_state_dict`, as JSON types."""
        return {"scale": self.scale, "finite": self.finite, "overflows": self.overflows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the *state* that `state_dict` returned."""
        self.scale, self.finite = state["scale"], state["finite"]
        self.overflows = state["overflows"]


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Return whether no value in *tensors* is NaN or infinite."""
    values = (each.coalesce().values() if each.is_sparse else each for each in tensors)
    filled = [tensor for tensor in values if tensor.numel()]
    if not filled:
        return True
    # The largest absolute value: unlike a sum of squares it is infinite only if a value is.
    largest = torch._foreach_norm(filled, torch.inf)
    return bool(torch.stack([value.float() for value in largest]).isfinite().all())
