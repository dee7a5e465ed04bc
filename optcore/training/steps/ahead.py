"""Make several steps before the first is reported, so that a GPU need not wait for the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from optcore.training.reports import Diverged, StepReport
from optcore.training.run import Run
from optcore.training.steps.columns import Columns
from optcore.training.steps.passes import backward, examples, loss_of, overflow_as_divergence
from optcore.training.steps.step import applied, divergence

AHEAD = 32
"""Maximum number of steps that a GPU may be ahead of the reports."""


class Made(NamedTuple):
    """
    A step that was made, and whose loss has not been copied to the host.

    Attributes:
        report: the report of the step, without the loss.
        loss: the loss, on the device.
        overflow: the error that prevented the update; None if the update was made. After an error,
            no further step may be made.
    """

    report: StepReport
    loss: Tensor
    overflow: Diverged | None


def ahead_of_reports(run: Run, columns: Columns) -> int:
    """Return the number of steps that may be made before the first of them is reported."""
    # The loss decides whether an update is skipped, and columns wait for the device at every step.
    plain = not (run.spec.may_skip or columns.any or run.optimizer.needs_closure)
    return AHEAD if run.device.type == "cuda" and plain else 1


def step_ahead(run: Run) -> Made:
    """Make a step without waiting for its loss; return its report and the loss separately."""
    accumulate, whole, micro = run.spec.training.accumulate, examples(run), 0
    # In double, as `step` adds Python numbers, so that both report the same bits.
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    run.optimizer.zero_grad()
    while not micro or not (micro == accumulate or run.batches.at_end):
        inputs, targets = run.batches.next()
        loss = loss_of(run, inputs, targets, micro=micro)
        if accumulate > 1:
            loss = loss * (len(targets) / whole)
        backward(run, loss)
        total += loss.detach()
        micro += 1
    overflow = _update(run)
    # The loss is not known yet, and may show that the run has diverged.
    run.settled, run.row = False, run.row + 1
    lrs = run.applied_lrs()
    report = StepReport(run.row - 1, lrs[run.displayed_group], 0.0, lrs if len(lrs) > 1 else ())
    return Made(report, total, overflow)


def _update(run: Run) -> Diverged | None:
    """Make an update; return the error if an overflow prevented the update, else None."""
    try:
        with overflow_as_divergence(run):
            run.optimizer.step()
    except Diverged as overflow:
        # Not raised yet: a loss that is not reported yet may show that the run diverged before.
        return overflow
    applied(run)
    return None


def reported(run: Run, made: Sequence[Made]) -> Iterator[StepReport]:
    """
    Wait for the losses of the steps *made*, then yield their reports.

    Before the last report is yielded, ``run.settled`` becomes true.

    Raises:
        Diverged: a loss shows that the run has diverged, or an overflow prevented an update.
    """
    # One copy to the host, and so one wait, for all losses.
    losses = torch.stack([each.loss for each in made]).tolist()
    for each, loss in zip(made, losses, strict=True):
        report = each.report._replace(loss=loss)
        run.loss_sum, run.loss_count = run.loss_sum + loss, run.loss_count + 1
        diverged = divergence(run, report)
        # As in `step`, which reports no step with a usable loss whose update overflows.
        if diverged is None and each.overflow is not None:
            raise each.overflow
        run.settled = report.step == run.row - 1 and diverged is None
        yield report
        if diverged is not None:
            raise diverged
