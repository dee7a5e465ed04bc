"""The loop: one step after another, and a look at the held-out examples now and then."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from optcore.training.columns import Columns
from optcore.training.evaluation import evaluate
from optcore.training.precision import MIN_SCALE, all_finite
from optcore.training.reports import Diverged, Progress, Report, StepReport
from optcore.training.run import Run

AHEAD = 32
"""Steps that a GPU may be ahead of the reports: it waits for nobody meanwhile."""

Update = tuple[StepReport, Tensor]
"""A step that was made, and its loss where the device has it."""


def train(run: Run, *, ahead: int | None = None) -> Iterator[Report]:
    """
    Train *run* to its end, yielding one `StepReport` per step, in order.

    Evaluations come between them, when they are due, and signs of life during those and between
    the batches of a step. Whoever drives the loop decides the rest: to stop is to stop iterating,
    and wherever `run.settled` holds between two reports, *run* may be saved and continued
    elsewhere with the same bits. It holds before every evaluation and checkpoint that is due.

    Args:
        run: at its first step, or at the one a checkpoint left it at.
        ahead: how many steps may be made before the first of them is reported; default: several
            on a GPU, if nothing of a step has to be looked at before its update.

    Raises:
        Diverged: a loss is not finite, or above the spec's limit; it was reported. No update is
            made from it, or, of steps made ahead, nothing is saved after it.
    """
    columns = Columns(run)
    most = _ahead(run, columns) if ahead is None else ahead
    made: list[Update] = []
    while True:
        if run.evaluation_is_due:
            yield from _evaluate(run)
        if run.finished:
            return
        if most == 1:
            report = yield from _step(run, columns)
            yield report
            _check(run, report)
            continue
        made.append(_step_ahead(run))
        if len(made) >= most or run.checkpoint_is_due or run.evaluation_is_due:
            yield from _reported(run, made)
            made = []


def _evaluate(run: Run) -> Iterator[Report]:
    found = yield from evaluate(run)
    found = replace(found, best=run.observe(found))
    yield found
    if not math.isfinite(found.loss):
        raise Diverged(f"test_loss must be finite, got {found.loss}", found.step)


def _check(run: Run, report: StepReport) -> None:
    """Raise if the run has diverged at the step of *report*."""
    if run.scaler is not None and run.scaler.scale < MIN_SCALE:
        raise Diverged(f"gradient must be finite, got none at loss scale {MIN_SCALE}", report.step)
    if run.spec.training.on_divergence == "skip" or _acceptable(run, report.loss):
        return
    limit = run.spec.training.loss_limit
    rule = f"at most {limit}" if math.isfinite(report.loss) else "finite"
    raise Diverged(f"loss must be {rule}, got {report.loss}", report.step)


def _acceptable(run: Run, loss: float) -> bool:
    limit = run.spec.training.loss_limit
    return math.isfinite(loss) and (limit is None or loss <= limit)


# ---------------------------------------------------------------------------- a step


def _step(run: Run, columns: Columns) -> Generator[Progress, None, StepReport]:
    """Make a step and wait for its loss; an update, unless there is a reason to skip it."""
    columns.begin()
    images, labels, value = yield from _gradients(run)
    run.micro, scale = 0, 1.0 if run.scaler is None else run.scaler.scale
    columns.measure_gradient(scale)
    finite = _gradient_is_finite(run) if _acceptable(run, value) else None
    if finite:
        if run.optimizer.needs_closure:
            run.optimizer.step(lambda: _again(run, images, labels))
        else:
            run.optimizer.step()
        _updated(run)
        run.loss_sum, run.loss_count = run.loss_sum + value, run.loss_count + 1
    else:
        run.optimizer.follow_plans()  # to what the update would have been made with
    lrs, step = run.applied_lrs(), run.row
    values = columns.values(scale, updated=bool(finite))
    if finite is not None:
        _rescale(run, finite=finite)
    if finite is not None or run.spec.training.on_divergence == "skip":
        run.row += 1
    return StepReport(step, lrs[run.shown_group], value, lrs if len(lrs) > 1 else (), values)


def _gradients(run: Run) -> Generator[Progress, None, tuple[Tensor, Tensor, float]]:
    """Compute the gradients of a step, batch after batch; return the last batch, and the loss."""
    if run.spec.training.accumulate == 1:
        images, labels = run.batches.next()
        loss = _loss(run, images, labels)
        value = loss.item()
        if math.isfinite(value):
            run.optimizer.zero_grad()
            _backward(run, loss)
        return images, labels, value
    whole = _examples(run)
    while True:
        images, labels = run.batches.next()
        loss = _loss(run, images, labels) * (len(labels) / whole)
        if not run.micro:
            run.optimizer.zero_grad()
            run.partial_loss = 0.0
        _backward(run, loss)
        run.partial_loss += loss.item()
        run.micro += 1
        if run.micro == run.spec.training.accumulate or run.batches.at_end:
            return images, labels, run.partial_loss
        yield Progress(run.row)


def _examples(run: Run) -> int:
    """Return how many examples the present step has, those of batches already seen included."""
    batch = run.spec.dataset.batch_size
    seen = run.micro * batch  # only the last batch of a pass is shorter, and it ends a step
    left = len(run.dataset.train) - (run.batches.position - seen)
    return min(left or len(run.dataset.train), run.spec.examples_per_step)


def _loss(run: Run, images: Tensor, labels: Tensor) -> Tensor:
    with run.autocast:
        return run.loss(run.model(images), labels)


def _backward(run: Run, loss: Tensor) -> None:
    scale = run.spec.optimizer.loss_scale if run.scaler is None else run.scaler.scale
    (loss if scale == 1 else loss * scale).backward()


def _gradient_is_finite(run: Run) -> bool:
    """Return whether an update may be made from the gradient; looked at only if it matters."""
    drops = run.scaler is not None and run.scaler.drops
    if not drops and run.spec.training.on_divergence == "fail":
        return True
    return all_finite([p.grad for p in run.model.parameters() if p.grad is not None])


def _rescale(run: Run, *, finite: bool) -> None:
    """Let the loss scale learn of a gradient."""
    if run.scaler is None:
        return
    run.scaler.update(finite=finite)
    run.optimizer.loss_scale = run.scaler.scale


def _updated(run: Run) -> None:
    run.t += 1
    if run.slow is not None:
        run.slow.update(run.t)
    if run.ema is not None:
        run.ema.update(run.t)


def _again(run: Run, images: Tensor, labels: Tensor) -> float:
    """Return the loss on the same batch, with gradients, where the parameters are now."""
    run.optimizer.zero_grad()
    loss = _loss(run, images, labels)
    _backward(run, loss)
    return loss.item()


# ---------------------------------------------------------------------------- steps ahead


def _ahead(run: Run, columns: Columns) -> int:
    """Return how many steps may be made before any is looked at."""
    plain = not (run.spec.may_skip or columns.any or run.optimizer.needs_closure)
    return AHEAD if run.device.type == "cuda" and plain else 1


def _step_ahead(run: Run) -> Update:
    """Make an update and do not wait for it."""
    whole, micro = _examples(run), 0
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    run.optimizer.zero_grad()
    while not micro or not (micro == run.spec.training.accumulate or run.batches.at_end):
        images, labels = run.batches.next()
        loss = _loss(run, images, labels)
        if run.spec.training.accumulate > 1:
            loss = loss * (len(labels) / whole)
        _backward(run, loss)
        total += loss.detach()
        micro += 1
    run.optimizer.step()
    _updated(run)
    run.settled, run.row = False, run.row + 1
    lrs = run.applied_lrs()
    report = StepReport(run.row - 1, lrs[run.shown_group], 0.0, lrs if len(lrs) > 1 else ())
    return report, total


def _reported(run: Run, made: list[Update]) -> Iterator[StepReport]:
    """Wait for the losses of the steps *made* and yield them; the run is settled at the last."""
    losses = torch.stack([loss for _, loss in made]).tolist()
    for (report, _), loss in zip(made, losses, strict=True):
        run.loss_sum, run.loss_count = run.loss_sum + loss, run.loss_count + 1
        run.settled = report.step == run.row - 1 and math.isfinite(loss)
        yield replace(report, loss=loss)
        _check(run, replace(report, loss=loss))
