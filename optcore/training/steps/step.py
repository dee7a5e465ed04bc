"""Make a step: compute the gradients of its batches, and update the parameters if allowed."""

from __future__ import annotations

import math
from collections.abc import Generator

from torch import Tensor

from optcore.training.precision import MAX_OVERFLOWS, all_finite
from optcore.training.reports import Diverged, Progress, StepReport
from optcore.training.run import Run
from optcore.training.steps.columns import Columns
from optcore.training.steps.passes import (
    acceptable,
    backward,
    examples,
    loss_of,
    loss_scale,
    overflow_as_divergence,
)
from optcore.training.steps.search import searched


def step(run: Run, columns: Columns) -> Generator[Progress, None, StepReport]:
    """
    Make a step of *run* and wait for its loss.

    Yields:
        the progress between two batches of the step. A step of L-BFGS has one batch, and yields the
        progress each time that it is interrupted.

    Returns:
        the report of the step. A step whose loss ends the run is not counted as made.
    """
    columns.begin()
    if run.optimizer.needs_closure:
        value, updated = yield from searched(run, columns)
    else:
        value = yield from _gradients(run)
        columns.measure_gradient(loss_scale(run))
        updated = acceptable(run, value) and _gradient_is_finite(run)
        if updated:
            with overflow_as_divergence(run):
                run.optimizer.step()
    # Read before `_rescale` sets the scale of the next step.
    run.micro, scale, row = 0, loss_scale(run), run.row
    if updated:
        applied(run)
        run.loss_sum, run.loss_count = run.loss_sum + value, run.loss_count + 1
    else:
        run.optimizer.follow_plans()  # so that the report has the lr of the skipped update
    lrs = run.applied_lrs()
    values = columns.values(scale, updated=updated)
    # A loss that is not finite was not finite before scaling either, so the scale is not to blame.
    if acceptable(run, value):
        _rescale(run, finite=updated)
    # The step that ends a run is reported but not counted as made.
    if acceptable(run, value) or run.spec.training.on_divergence == "skip":
        run.row += 1
    return StepReport(row, lrs[run.displayed_group], value, lrs if len(lrs) > 1 else (), values)


def divergence(run: Run, report: StepReport) -> Diverged | None:
    """Return the error that ends the run after *report*; None if the run can continue."""
    if run.scaler is not None and run.scaler.overflows >= MAX_OVERFLOWS:
        what = f"gradient must be finite, but was not in {MAX_OVERFLOWS} steps in a row"
        return Diverged(what, report.step)
    if run.spec.training.on_divergence == "skip" or acceptable(run, report.loss):
        return None
    limit = run.spec.training.loss_limit
    rule = f"at most {limit}" if math.isfinite(report.loss) else "finite"
    return Diverged(f"loss must be {rule}, got {report.loss}", report.step)


def applied(run: Run) -> None:
    """Count an update; then update the slow weights and the averaged weights, if there are any."""
    run.t += 1
    # Lookahead first: the average is taken over the weights that the next step begins with.
    if run.slow is not None:
        run.slow.update(run.t)
    if run.ema is not None:
        run.ema.update(run.t)


def _gradients(run: Run) -> Generator[Progress, None, float]:
    """Compute the gradients of a step, batch after batch; return the loss of the step."""
    accumulate, whole = run.spec.training.accumulate, examples(run)
    while True:
        inputs, targets = run.batches.next()
        before = _statistics(run)
        loss = loss_of(run, inputs, targets, micro=run.micro)
        if accumulate > 1:
            # By examples, not by batches: the last batch of a pass may be shorter.
            loss = loss * (len(targets) / whole)
        value = loss.item()
        if not run.micro:
            run.optimizer.zero_grad()
            run.partial_loss = 0.0
        if math.isfinite(value):
            backward(run, loss)
        else:
            # Not strict: *before* is empty where a divergence ends the run.
            for buffer, saved in zip(run.statistics, before, strict=False):
                buffer.copy_(saved)
        # If one loss is not finite, neither is the sum, so the step makes no update.
        run.partial_loss += value
        run.micro += 1
        if run.micro == accumulate or run.batches.at_end:
            return run.partial_loss
        yield Progress(run.row)


def _statistics(run: Run) -> list[Tensor]:
    """
    Return copies of BatchNorm's running statistics, which are restored if a loss is not finite.

    The list is empty if a loss that is not finite ends the run.
    """
    if run.spec.training.on_divergence == "fail":
        return []
    return [buffer.clone() for buffer in run.statistics]


def _gradient_is_finite(run: Run) -> bool:
    """
    Return whether the gradient is finite.

    If the run never skips an update, the gradient is not checked, and the result is True.
    """
    drops = run.scaler is not None and run.scaler.drops
    if not drops and run.spec.training.on_divergence == "fail":
        return True
    return all_finite([p.grad for p in run.model.parameters() if p.grad is not None])


def _rescale(run: Run, *, finite: bool) -> None:
    """Set the next step's loss scale. *finite* says whether this step's gradient was finite."""
    if run.scaler is None:
        return
    run.scaler.update(finite=finite)
    run.optimizer.loss_scale = run.scaler.scale
