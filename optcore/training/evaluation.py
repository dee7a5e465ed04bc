"""Evaluation on the validation and the test examples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from optcore.data.examples import Examples, served
from optcore.metrics.base import Measured, Metric, Subject, Value
from optcore.metrics.catalogue import metrics_of
from optcore.spec.evaluation import MetricName
from optcore.training.losses import Loss
from optcore.training.reports import Evaluation, Progress
from optcore.training.run import Run
from optcore.training.statistics import recompute_statistics


def evaluate(run: Run) -> Generator[Progress, None, Evaluation]:
    """
    Compute the metrics of *run*, with the network in evaluation mode.

    Every evaluation uses the validation examples, if there are any. The evaluation at the end of
    the run also uses the test examples. In a run that began under a release up to 0.2.0, every
    evaluation uses the test examples alone.

    The metrics are computed with the trained weights, and again with the averaged weights if the
    run has them. No random numbers are drawn.

    Yields:
        the progress, once per batch.

    Returns:
        the report with all metrics.
    """
    former = run.spec.training.chooses_by_test
    found = Evaluation(run.row, {}, {}, former=former)
    if run.dataset.validation is not None and not former:
        found = yield from _measured_on(run, "val", run.dataset.validation, found)
    if former or run.ends_with(found):
        found = yield from _measured_on(run, "test", run.dataset.test, found)
    return found


def evaluate_best(run: Run) -> Iterator[Progress | Evaluation]:
    """
    Evaluate the best weights of *run* on the test examples, once the run has ended.

    Nothing depends on the result: the run has chosen these weights by its validation examples.

    Args:
        run: a run that has ended, with its best weights loaded into the network. If the best
            weights are an average, the network holds the average.

    Yields:
        the progress, once per batch, and at last an evaluation with the step of the best weights
        and their test metrics. The names begin with ``ema_`` if these weights are an average.
    """
    assert run.best is not None
    ema = "ema_" * MetricName.of(run.best.metric).ema
    values = yield from _evaluate(run, run.dataset.test, nullcontext)
    metrics = {f"{ema}test_{name}": value for name, value in values.items()}
    yield Evaluation(run.best.step, metrics, {"test": len(run.dataset.test)})


def _measured_on(
    run: Run, split: str, examples: Examples, found: Evaluation
) -> Generator[Progress, None, Evaluation]:
    """Return *found* with the metrics on *examples* added; their names contain *split*."""
    metrics = dict(found.metrics)
    if run.ema is not None and run.ema.recomputes and not found.metrics:
        yield from recompute_statistics(run)
    for ema, weights in _weights(run):
        values = yield from _evaluate(run, examples, weights)
        metrics |= {f"{ema}{split}_{name}": value for name, value in values.items()}
    return replace(found, metrics=metrics, examples={**found.examples, split: len(examples)})


def _weights(run: Run) -> Iterator[tuple[str, Callable[[], AbstractContextManager[None]]]]:
    """
    Yield (prefix, context): first for the trained weights, then for the averaged ones.

    The prefix begins the names of the metrics. The context puts the weights into the network.
    """
    yield "", run.optimizer.averaged
    if run.ema is not None:
        yield "ema_", run.ema.in_place


def _evaluate(
    run: Run, examples: Examples, weights: Callable[[], AbstractContextManager[None]]
) -> Generator[Progress, None, Mapping[str, Value]]:
    """
    Evaluate the model on *examples*; return the metrics by name.

    *weights* is called for each batch. It returns a context manager that gives the model other
    weights for that batch, such as averaged ones.
    """
    measured, size = requested(run), run.evaluated_together
    for inputs, targets in zip(
        examples.inputs.split(size), examples.targets.split(size), strict=True
    ):
        run.model.eval()
        # autocast is entered last: it caches its casts of the weights until it is left, even if
        # the weights are replaced meanwhile.
        with torch.no_grad(), weights(), run.autocast:
            batch = measured_by(run.loss, run.forward(served(inputs, run.dtype)), targets)
            for metric in measured:
                with _named(metric):
                    metric.add(batch)
        # A caller that stops here may save the run: the trained weights must be back.
        run.model.train()
        yield Progress(run.row)
    return {metric.NAME: _value(metric) for metric in measured}


def requested(run: Run) -> list[Metric]:
    """Return the metrics of an evaluation of *run*, to which no batch has been added yet."""
    training, target = run.spec.training, run.spec.dataset.target
    subject = Subject(
        *(run.spec.task, target.size, training.top_k, target.bytes_per_token, target.objective)
    )
    return [metrics_of(run.spec.task)[name](subject) for name in run.spec.metric_names]


def measured_by(loss: Loss, outputs: Tensor, targets: Tensor) -> Measured:
    """Return a batch for the metrics, without the examples whose targets *loss* ignores."""
    value, weight, counted = loss(outputs, targets), loss.weight(targets), loss.counted(targets)
    if targets.dim() > 1 and loss.target.task == "language_model":
        outputs, targets = outputs.flatten(0, 1), targets.flatten()
        counted = None if counted is None else counted.flatten()
    if counted is not None:
        outputs, targets = outputs[counted], targets[counted]
    return Measured(outputs, targets, value, weight)


def _value(metric: Metric) -> Value:
    with _named(metric):
        found = metric.value()
        return float(found) if metric.IS_NUMBER else found  # type: ignore[arg-type]  # a number


@contextmanager
def _named(metric: Metric) -> Iterator[None]:
    """Add the name and the class of *metric* to any error that the ``with`` block raises."""
    try:
        yield
    except Exception as error:
        kind = type(metric)
        error.add_note(f"in the metric {metric.NAME} ({kind.__module__}.{kind.__qualname__})")
        raise
