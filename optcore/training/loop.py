"""The training loop: steps, and an evaluation whenever one is due."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from optcore.training.evaluation import evaluate
from optcore.training.reports import Diverged, Report
from optcore.training.run import Run
from optcore.training.steps.ahead import ahead_of_reports, reported, step_ahead
from optcore.training.steps.columns import Columns
from optcore.training.steps.step import divergence, step

LOSSES = ("val_loss", "ema_val_loss", "test_loss", "ema_test_loss")
"""Metrics that must be finite."""


def train(run: Run, *, ahead: int | None = None) -> Iterator[Report]:
    """
    Train *run* to its end, and yield reports about it.

    A `StepReport` is yielded for each step, in order, and an `Evaluation` for each evaluation.
    `Progress` is yielded during evaluations and between the batches of a step. To stop the
    training, the caller stops iterating. If *run* has ended already, only its last evaluation is
    made again and yielded.

    *run* may be saved between two reports, whenever `run.settled` is true. A run restored from this
    state gives the same results bit for bit. `run.settled` is true before every evaluation and
    checkpoint that is due, and soon after `run.interrupt` is set.

    Args:
        run: a run at its first step, or restored from a checkpoint.
        ahead: the number of steps that may be made before the first of them is reported. None
            chooses a number: 1 on a CPU, and several on a GPU. It is 1 on a GPU too if a step may
            skip its update, if the optimizer computes the loss several times in a step, or if
            reports have columns besides lr and loss.

    Raises:
        Diverged: the training has diverged. The step or evaluation that shows the divergence has
            been reported, except for a step whose update overflows. With an *ahead* of 1, no update
            was made from a loss that shows the divergence. If steps were made ahead, *run* must not
            be saved.
    """
    columns = Columns(run)
    most = ahead_of_reports(run, columns) if ahead is None else ahead
    made = []
    if run.finished and not run.evaluation_is_due:
        yield (yield from evaluate(run))  # not observed again: that would count it twice
        return
    while True:
        if run.evaluation_is_due:
            yield from _evaluate(run)
            columns.restart()
        if run.finished:
            return
        if most == 1:
            report = yield from step(run, columns)
            diverged = divergence(run, report)
            # Before the report: its reader may save the run, and a checkpoint saved now would
            # resume after the step that diverged.
            run.settled = diverged is None
            yield report
            if diverged is not None:
                raise diverged
            continue
        made.append(step_ahead(run))
        # Only a settled run can be saved or evaluated, so steps made ahead are reported first.
        due = run.checkpoint_is_due or run.evaluation_is_due or run.interrupt.is_set()
        if len(made) >= most or due or made[-1].overflow is not None:
            yield from reported(run, made)
            made = []


def steps_alone(run: Run, step: int) -> int:
    """Return how many step reports certainly follow that of *step* before any other report."""
    # The worker takes this many reports without checking their type, so a number that is too high
    # would hide an evaluation among the rows.
    if run.spec.training.accumulate > 1 or run.optimizer.needs_closure:
        return 0  # a Progress may come between two steps
    made, end = step + 1, run.total_steps
    if run.evaluate_interval:
        end = min(end, made + -made % run.evaluate_interval)
    return end - made


def _evaluate(run: Run) -> Iterator[Report]:
    found = yield from evaluate(run)
    losses = {name: found.metric(name) for name in LOSSES if name in found.metrics}
    wrong = {name: loss for name, loss in losses.items() if not math.isfinite(loss)}
    if "val" in found.examples:
        # Where there are others, test examples decide nothing: what they come to is reported.
        wrong = {name: loss for name, loss in wrong.items() if "test_" not in name}
    # Before the report, as above: weights whose loss is not finite are not saved.
    run.settled = not wrong
    yield replace(found, best=run.observe(found))
    for name, loss in wrong.items():
        raise Diverged(f"{name} must be finite, got {loss}", found.step)
