"""
Make a step with an optimizer that computes the loss of a batch several times, such as L-BFGS.

Such a step may take long, so another thread may interrupt it (`Run.interrupt`). The run is then
restored to its state before the step, and repeats the step bit for bit.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from optcore.optimizers.lbfgs import LbfgsOptimizer
from optcore.training.generators import generator_tensors, restore_generator_tensors
from optcore.training.reports import Progress
from optcore.training.run import Run
from optcore.training.steps.columns import Columns
from optcore.training.steps.passes import (
    acceptable,
    backward,
    loss_of,
    loss_scale,
    overflow_as_divergence,
)


class _Unusable(Exception):
    """The loss before the step is NaN, infinite or above ``loss_limit``: no update is made."""

    def __init__(self, loss: float) -> None:
        super().__init__(loss)
        self.loss = loss


class _Interrupted(Exception):
    """The step was interrupted."""


def searched(run: Run, columns: Columns) -> Generator[Progress, None, tuple[float, bool]]:
    """
    Make one step with an optimizer that computes the loss several times, such as L-BFGS.

    Yields:
        the progress, each time that the step is interrupted. The run is then in the state before
        the step, and may be saved. When the caller continues, the step begins again.

    Returns:
        the loss before the step, and whether the parameters were updated.
    """
    while True:
        before = _Before.of(run)
        try:
            return _once(run, columns)
        except _Interrupted:
            before.restore(run)
        # The caller may save the run here: no change by the interrupted step is left.
        yield Progress(run.row)
        columns.begin()


def _once(run: Run, columns: Columns) -> tuple[float, bool]:
    inputs, targets = run.batches.next()
    losses: list[float] = []

    def closure() -> float:
        if run.interrupt.is_set():
            raise _Interrupted
        run.optimizer.zero_grad()
        # With the same masks each time: a search compares the losses of one function.
        loss = loss_of(run, inputs, targets, micro=0)
        losses.append(loss.item())
        # Only the first loss is reported. A search may pass points with an infinite loss.
        if len(losses) == 1 and not acceptable(run, losses[0]):
            raise _Unusable(losses[0])
        backward(run, loss)
        if len(losses) == 1:
            columns.measure_gradient(loss_scale(run))
        return losses[-1]

    try:
        with overflow_as_divergence(run):
            run.optimizer.step(closure)
    except _Unusable as error:
        return error.loss, False
    return losses[0], True


@dataclass(frozen=True)
class _Before:
    """A copy of the state that a step changes, made before the step."""

    tensors: list[tuple[Tensor, Tensor]]
    memory: dict[str, Any]
    walk: tuple[int, int, int, Tensor | None]
    generators: dict[str, Tensor]

    @classmethod
    def of(cls, run: Run) -> _Before:
        """Return the current state of *run*."""
        # Buffers, too: BatchNorm's statistics change whenever the loss is computed.
        changed = [*(param.detach() for param in run.model.parameters()), *run.model.buffers()]
        batches = run.batches
        return cls(
            [(tensor, tensor.clone()) for tensor in changed],
            _optimizer(run).memory(),
            # The order is not copied: `Batches` makes a new order for each pass and changes none.
            (batches.epoch, batches.position, batches.served, batches.order),
            {} if run.draws.keyed else generator_tensors(),
        )

    def restore(self, run: Run) -> None:
        """Restore *run* to this state."""
        for tensor, copy in self.tensors:
            tensor.copy_(copy)
        run.optimizer.zero_grad()
        _optimizer(run).recall(self.memory)
        batches = run.batches
        batches.epoch, batches.position, batches.served, batches.order = self.walk
        if not run.draws.keyed:
            restore_generator_tensors(self.generators)


def _optimizer(run: Run) -> LbfgsOptimizer:
    return cast("LbfgsOptimizer", run.optimizer)  # the one that needs a closure
