"""Check that loss and metrics fit the task of a run, and that no run chooses by test examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.metrics.catalogue import metrics_of
from optcore.packages.entry_points import broken
from optcore.spec.base import value_of
from optcore.spec.errors import did_you_mean, reject
from optcore.spec.evaluation import FIELDS, TRAIN_LOSS, MetricName
from optcore.spec.limits import MAX_FLOAT32
from optcore.spec.optimizers.rounded import float32
from optcore.spec.tasks.losses import LOSSES, ClassLoss

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec


def loss_fits_the_task(run: RunSpec) -> None:
    """Refuse a loss that is not for the task of the dataset."""
    loss, task = run.training.loss, run.dataset.target.task
    if task not in loss.TASKS:
        fit = ", ".join(kind for kind, each in LOSSES.items() if task in each.TASKS)
        reject(
            ["training", "loss", "kind"],
            f"loss must be one of {fit} for {run.dataset.kind}, whose task is {task}, got "
            f"{loss.kind}",
            loss.kind,
        )


def metrics_fit_the_task(run: RunSpec) -> None:
    """Refuse metrics that are not defined for the task of the run."""
    training, task = run.training, run.task
    classes = run.dataset.target.size
    for name, given in (("top_k", training.top_k), ("confusion", training.confusion)):
        if given and task != "classification":
            rule = f"needs the task classification, but the task of this run is {task}"
            reject(["training", name], f"{name} {rule}, got {given}", given)
    if training.top_k is not None and training.top_k > classes:
        reject(
            ["training", "top_k"],
            f"top_k must be at most {classes}, the number of classes of {run.dataset.kind}, "
            f"got {training.top_k}",
            training.top_k,
        )
    known = metrics_of(task) if training.metrics else {}
    for i, name in enumerate(training.metrics):
        if name in training.metrics[:i]:
            reject(["training", "metrics", i], f"metrics must differ, got {name!r} twice", name)
        if name not in known or name in FIELDS:
            allowed = ", ".join(each for each in known if each not in FIELDS)
            rule = f"must be metrics of the task {task} ({allowed})"
            if name in FIELDS:
                rule = f"must not contain {name}, which has the field training.{name}"
            hint = "" if name in FIELDS else did_you_mean(name, known) + broken()
            reject(["training", "metrics", i], f"metrics {rule}, got {name!r}{hint}", name)


def what_chooses_is_measured(run: RunSpec) -> None:
    """Refuse a run that chooses by a metric that its validation does not measure."""
    training, stopping = run.training, run.training.early_stopping
    for path, metric in (
        (["training", "keep_best"], training.keep_best),
        (["training", "early_stopping", "metric"], None if stopping is None else stopping.metric),
        (["schedule", "metric"], value_of(run.schedule, "metric", None)),
    ):
        if metric is None or metric == TRAIN_LOSS or training.chooses_by_test:
            continue
        name = MetricName.of(metric).name
        if not run.dataset.validation_examples:
            reject(
                path,
                f"{path[-1]} {metric} needs validation examples, and {run.dataset.kind} has none: "
                "hold out a part of the training examples with dataset.validation, such as 0.1",
                metric,
            )
        if name not in run.metric_names:
            measured = ", ".join(f"val_{each}" for each in run.metric_names if each != "confusion")
            reject(
                path,
                f"{path[-1]} must be measured in this run ({measured}), got {metric!r}",
                metric,
            )


def weights_fit_the_classes(run: RunSpec) -> None:
    """
    Refuse class weights that do not fit the classes, or that float32 cannot hold.

    Also refuse a field ``accumulate`` above 1 with a weighted loss, since the batches that make one
    update then have different weights.
    """
    loss, target = run.training.loss, run.dataset.target
    if not isinstance(loss, ClassLoss):
        return
    weights = loss.class_weights
    if weights is not None and len(weights) != target.size:
        reject(
            ["training", "loss", "class_weights"],
            f"class_weights must have a weight for each of the {target.words} of "
            f"{run.dataset.kind}, got {len(weights)}",
            len(weights),
        )
    if weights is not None and max(weights) > MAX_FLOAT32:
        text = f"class_weights must be at most {MAX_FLOAT32:g}, got {max(weights):g}"
        reject(["training", "loss", "class_weights"], text, max(weights))
    if weights is not None and not float32(max(weights)):
        text = f"class_weights must have a weight above 0 in float32, got at most {max(weights):g}"
        reject(["training", "loss", "class_weights"], text, max(weights))
    if loss.weighted and run.training.accumulate > 1:
        reject(
            ["training", "accumulate"],
            "accumulate must be 1 for a loss with class_weights or ignore_index, whose batches "
            f"have different weights, got {run.training.accumulate}",
            run.training.accumulate,
        )
