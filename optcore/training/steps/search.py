"""
A step of an optimizer that looks at the loss of one batch as often as it wants, as L-BFGS does.

Such a step may take long. Whoever drives the loop may have it given up meanwhile: the run is then
as it was before the step, generators and all, and makes the same step again, bit for bit.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from optcore.optimizers.lbfgs import LbfgsOptimizer
from optcore.training.reports import Progress
from optcore.training.run import Run
from optcore.training.seeds import (
    generator_tensors,
    generator_words,
    restore_generator_tensors,
    restore_generator_words,
)
from optcore.training.steps.columns import Columns
from optcore.training.steps.passes import acceptable, backward, loss_of, loss_scale, overflow_told


class _Unusable(Exception):
    """A loss that no update may be made from."""

    def __init__(self, loss: float) -> None:
        super().__init__(loss)
        self.loss = loss


class _GivenUp(Exception):
    """The step is not to be finished."""


def searched(run: Run, columns: Columns) -> Generator[Progress, None, tuple[float, bool]]:
    """
    Let the optimizer search; return the first loss, and whether an update was made.

    Yields:
        a sign of life whenever the step was given up; the run is as before it.
    """
    while True:
        before = _Before.of(run)
        try:
            return _once(run, columns)
        except _GivenUp:
            before.restore(run)
        yield Progress(run.row)
        columns.begin()


def _once(run: Run, columns: Columns) -> tuple[float, bool]:
    images, labels = run.batches.next()
    losses: list[float] = []

    def look() -> float:
        if run.interrupt.is_set():
            raise _GivenUp
        run.optimizer.zero_grad()
        loss = loss_of(run, images, labels)
        losses.append(loss.item())
        if len(losses) == 1 and not acceptable(run, losses[0]):
            raise _Unusable(losses[0])
        backward(run, loss)
        if len(losses) == 1:
            columns.measure_gradient(loss_scale(run))
        return losses[-1]

    try:
        with overflow_told(run):
            run.optimizer.step(look)
    except _Unusable as error:
        return error.loss, False
    return losses[0], True


@dataclass(frozen=True)
class _Before:
    """What a search changes, as it was before."""

    tensors: list[tuple[Tensor, Tensor]]
    memory: dict[str, Any]
    walk: tuple[int, int, int, Tensor | None]
    generators: dict[str, Tensor]
    words: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> _Before:
        """Return it as it is now."""
        changed = [*(param.detach() for param in run.model.parameters()), *run.model.buffers()]
        batches = run.batches
        return cls(
            [(tensor, tensor.clone()) for tensor in changed],
            _optimizer(run).memory(),
            (batches.epoch, batches.position, batches.served, batches.order),
            generator_tensors(),
            generator_words(),
        )

    def restore(self, run: Run) -> None:
        """Put *run* back."""
        for tensor, copy in self.tensors:
            tensor.copy_(copy)
        run.optimizer.zero_grad()
        _optimizer(run).recall(self.memory)
        batches = run.batches
        batches.epoch, batches.position, batches.served, batches.order = self.walk
        restore_generator_tensors(self.generators)
        restore_generator_words(self.words)


def _optimizer(run: Run) -> LbfgsOptimizer:
    return cast("LbfgsOptimizer", run.optimizer)  # the one that needs a closure
