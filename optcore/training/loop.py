"""The loop: one update after another, and a look at the held-out examples now and then."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional

from optcore.spec.duration import steps_in
from optcore.training.evaluation import evaluate
from optcore.training.reports import Diverged, Evaluation, Report, StepReport
from optcore.training.run import Run


def train(run: Run) -> Iterator[Report]:
    """
    Train *run* to its end, yielding one `StepReport` per update, in order.

    Evaluations come between them, when they are due, and signs of life during those. Whoever
    drives the loop decides the rest: to stop is to stop iterating, and between two reports *run*
    may be saved and continued elsewhere with the same bits.

    Args:
        run: at its first step, or at the one a checkpoint left it at.

    Raises:
        Diverged: a loss is NaN or infinite; it was reported. An update is not made from it.
    """
    while True:
        if _evaluation_is_due(run):
            yield from _evaluate(run)
        if run.finished:
            return
        report = _update(run)
        yield report
        if not math.isfinite(report.loss):
            raise Diverged(report.step, report.loss)


def _evaluate(run: Run) -> Iterator[Report]:
    reports = evaluate(
        run.model, run.dataset.test, step=run.t, dtype=run.dtype, averaged=run.optimizer.averaged
    )
    for report in reports:
        if isinstance(report, Evaluation):
            run.evaluated = run.t
            run.observe(report)
        yield report
        if isinstance(report, Evaluation) and not math.isfinite(report.loss):
            raise Diverged(report.step, report.loss)


def _update(run: Run) -> StepReport:
    images, labels = run.batches.next()
    loss = functional.cross_entropy(run.model(images), labels)
    value = loss.item()
    if math.isfinite(value):
        run.optimizer.zero_grad()
        _backward(run, loss)
        if run.optimizer.needs_closure:
            run.optimizer.step(lambda: _again(run, images, labels))
        else:
            run.optimizer.step()
        run.t += 1
        run.loss_sum, run.loss_count = run.loss_sum + value, run.loss_count + 1
        return _step_report(run, run.t - 1, value)
    run.optimizer.follow_plans()  # to what the update would have been made with
    return _step_report(run, run.t, value)


def _step_report(run: Run, step: int, loss: float) -> StepReport:
    lrs = run.applied_lrs()
    return StepReport(step, lrs[run.shown_group], loss, lrs if len(lrs) > 1 else ())


def _backward(run: Run, loss: Tensor) -> None:
    scale = run.spec.optimizer.loss_scale
    (loss if scale == 1 else loss * scale).backward()


def _again(run: Run, images: Tensor, labels: Tensor) -> float:
    """Return the loss on the same batch, with gradients, where the parameters are now."""
    run.optimizer.zero_grad()
    loss = functional.cross_entropy(run.model(images), labels)
    _backward(run, loss)
    return loss.item()


def _evaluation_is_due(run: Run) -> bool:
    if run.t == run.evaluated:
        return False
    every = run.spec.training.evaluate_every
    interval = steps_in(every, run.spec.steps_per_epoch) if every is not None else 0
    return run.finished or (interval > 0 and run.t > 0 and run.t % interval == 0)
