"""The columns of a step's report besides lr and loss, such as the norm of the gradient."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import torch
from torch import Tensor

from optcore.optimizers.engine.transforms.clipping import global_norm, norms_of
from optcore.spec.training import POINT
from optcore.training.run import Run

MEBIBYTE = 2**20
STATM = Path("/proc/self/statm")
"""File with the memory use of this process in pages, on Linux."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Columns:
    """
    The values of the columns of a step's report, besides lr and loss.

    Attributes:
        any: whether the spec asks for columns besides lr and loss.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._names = run.spec.columns[2:]
        self.any = bool(self._names)
        self._since = time.perf_counter()
        self._grad_norm, self._before = math.nan, list[Tensor]()
        self._point: dict[str, float] = {}

    def restart(self) -> None:
        """Exclude the time since the last step from the speed (``examples_per_s``)."""
        self._since = time.perf_counter()

    def begin(self) -> None:
        """Prepare for a step: store what columns need of the weights before the step."""
        self._grad_norm = math.nan
        if "x0" in self._names or "x1" in self._names:
            # Before the update: the loss of the row is that at this point.
            x = next(self._run.model.parameters()).detach()
            self._point = dict(zip(POINT, x[: len(POINT)].tolist(), strict=False))
        if "update_ratio" in self._names:
            self._before = [param.clone() for param in self._trained()]

    def measure_gradient(self, scale: float) -> None:
        """Measure the norm of the gradient before clipping, divided by the loss scale *scale*."""
        if "grad_norm" not in self._names:
            return
        params = list(self._run.model.parameters())
        # A norm of nothing is 0, but a gradient that was not computed has no norm: NaN.
        there = any(param.grad is not None for param in params)
        self._grad_norm = global_norm(params) / scale if there else math.nan

    def values(self, scale: float, *, updated: bool) -> tuple[float, ...]:
        """
        Return the values of the columns for a step.

        Args:
            scale: the loss scale of the step.
            updated: whether the step made an update.
        """
        if not self._names:
            return ()
        # The count before the update, at which the schedule gave this row's lr.
        found = {"t": float(self._run.t - updated), "loss_scale": scale, **self._point}
        found["grad_norm"] = self._grad_norm
        if "update_ratio" in self._names:
            found["update_ratio"] = self._update_ratio()
        now = time.perf_counter()
        found["examples_per_s"] = self._run.batches.served / (now - self._since)
        self._since, self._run.batches.served = now, 0
        if "memory_mb" in self._names:
            found["memory_mb"] = memory_bytes(self._run.device) / MEBIBYTE
        return tuple([found[name] for name in self._names])

    def _update_ratio(self) -> float:
        """Return the norm of the update, divided by the norm of the weights before the update."""
        now = self._trained()
        moved = _norm(list(torch._foreach_sub(now, self._before)))
        return moved / max(_norm(self._before), torch.finfo(self._run.dtype).tiny)

    def _trained(self) -> list[Tensor]:
        return [param.detach() for param in self._run.model.parameters() if param.requires_grad]


def memory_bytes(device: torch.device) -> int:
    """
    Return the number of bytes that this process uses; 0 if it is unknown.

    On a GPU, only tensors count. On a CPU, all memory of the process that is in RAM counts.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(STATM.read_text().split()[1]) * PAGE if STATM.exists() else 0


def _norm(tensors: list[Tensor]) -> float:
    norms = [norm.double() for norm in norms_of(tensors)]
    return float(torch.stack(norms).norm())
