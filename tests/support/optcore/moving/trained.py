"""What a short run does: the effect of the spec of a run."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from api.jobs.plan import plan_of
from optcore.data.examples import Dataset, DatasetMissing, Examples
from optcore.data.load import load
from optcore.data.sources.mnist_lines import lines_of
from optcore.data.sources.mnist_lines_rotated import turned
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.datasets.mnist_lines import MnistLinesRotated, MnistLinesSpec
from optcore.spec.datasets.objectives import ObjectiveSpec
from optcore.spec.datasets.text import Text
from optcore.spec.models.catalogue import MODELS
from optcore.spec.run import RunSpec
from optcore.spec.tasks.losses import LOSSES
from optcore.spec.tasks.tasks import Task
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.loop import train
from optcore.training.reports import Diverged, Evaluation, StepReport
from optcore.training.run import Run
from optserve.contract.requests.job import JobSpec
from store.jobs.new_record import new_fields
from tests.support.optcore.digits import some_digits
from tests.support.optcore.texts import write_text

GPT: dict[str, Any] = {"width": 8, "depth": 1, "heads": 2}
TEXT: dict[str, Any] = {
    **{"kind": "text", "file": "a.txt", "length": 8},
    **{"train_windows": 60, "validation_windows": 9, "test_windows": 9},
}
POINT: dict[str, Any] = {"model": {"kind": "point"}, "loss": {"kind": "objective"}}
NOISY: dict[str, Any] = {"noise": 0.5, "examples": 50}
"""Fields of a function whose epochs differ; here each step is an epoch."""
LINES: dict[str, Any] = {
    **{"digit_size": 10, "height": 16, "width": 60, "min_digits": 2, "max_digits": 4},
    **{"train_lines": 100, "test_lines": 40},
}
REQUIRED: dict[str, dict[str, Any]] = {
    "text": TEXT,
    **{kind: {"kind": kind, **LINES} for kind in ("mnist_lines", "mnist_lines_rotated")},
}
"""Fields of a dataset that are required, or make it small."""
LAYERS: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 3, "kernel_size": 3},
    {"kind": "batch_norm"},
    {"kind": "relu"},
    {"kind": "max_pool2d", "kernel_size": 2},
    {"kind": "flatten"},
    {"kind": "dropout", "p": 0.25},
    {"kind": "linear", "out_features": 6},
    {"kind": "linear", "out_features": 10},
    {"kind": "log_softmax"},
]
"""A network with every kind of layer."""
NORMALISED: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        {"kind": "batch_norm"},
        {"kind": "linear", "out_features": 10},
    ],
}
COLUMNS: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 11, "kernel_size": 8},
]
"""A network whose outputs are sequences."""
LINE_COLUMNS: list[dict[str, Any]] = [
    {"kind": "conv2d", "out_channels": 11, "kernel_size": [16, 8]},
]
"""The same for lines of digits."""
THIN: dict[str, Any] = {"scale": 0.1, "strides": [1, 1, 1, 2]}
"""Fields of a mobilenet_v3 for images of 8 x 8 in dialect paddleocr."""
TRAINING = {"steps": 6, "seed": 3, "evaluate_every": 2, "checkpoint_every": 3}
SCALED = {"precision": "fp16", "columns": ["loss_scale"]}

PLANNED = ("total_steps", "steps_per_epoch", "num_parameters", "layers", "lr", "warnings")
"""What of a plan follows from the spec, and is no copy of a part of it."""
TRAIN_EXAMPLES, TEST_EXAMPLES, VALIDATION_EXAMPLES = 150, 40, 30
LONGEST = 500
"""Number of steps after which a run is not continued."""
RECORDED = ("device", "exact")
"""Fields of a job's record by which a worker is chosen."""


def job(optimizer: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a short job; *changes* go into ``training``, or replace a part by its name."""
    parts: dict[str, Any] = {
        "model": {"kind": "mlp", "hidden": [8]},
        "dataset": {"kind": "digits", "batch_size": 50, "validation": 0.2},
        "optimizer": optimizer,
    }
    parts |= {name: changes.pop(name) for name in parts.keys() & changes.keys()}
    return {**parts, "training": {**TRAINING, **changes}}


def trainings(optimizer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return jobs that have, all together, every part of ``training``."""
    return [
        job(optimizer),
        job(optimizer, steps=None, epochs=0.2, evaluate_every={"epochs": 0.1}),
        job(optimizer, ema={"decay": 0.5}),
        # 3 updates in an epoch: the average is updated after 1, 3, 4 and 6.
        job(
            optimizer,
            dataset={"kind": "digits", "batch_size": 500},
            model=NORMALISED,
            ema={"decay": 0.5, "every": 2, "every_from": "epoch", "begin": 1, "copy_first": True},
        ),
        job(
            optimizer, model=NORMALISED, ema={"kind": "swa", "begin": {"fraction": 0.4}, "every": 1}
        ),
        job(optimizer, ema={"kind": "keras", "decay": 0.5}),
        job(optimizer, lookahead={"every": 2}),
        job(optimizer, model=NORMALISED, frozen=["1.*"]),
        job(optimizer, model=NORMALISED, frozen=["1.*"], frozen_statistics=True),
        job(optimizer, keep_best="val_loss"),
        job(optimizer, evaluate_every=1, early_stopping={"patience": 1}),
        job(optimizer, evaluate_every=1, early_stopping={"patience": 1, "min_delta": 0.5}),
        # One example more is an improvement of the accuracy, but not of the loss.
        job(optimizer, evaluate_every=1, early_stopping={"patience": 1, "min_delta": 0.03}),
        job(optimizer, **SCALED, loss_scale={"kind": "dynamic", "start": 2.0**10, "window": 2}),
        job(optimizer, **SCALED, loss_scale={"kind": "dynamic", "start": 2.0**100, "window": 2}),
        job(optimizer, **SCALED, loss_scale={"kind": "fixed", "scale": 2.0**100}),
        job(optimizer, on_divergence="skip", loss_limit=2.3),
    ]


def losses(optimizer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a job for every loss."""
    logarithms = {"kind": "sequential", "layers": LAYERS}
    columns = {"kind": "sequential", "layers": COLUMNS}
    function = {**POINT, "dataset": {"kind": "quadratic", **NOISY, "batch_size": 50}}
    models = {"nll": {"model": logarithms}, "ctc": {"model": columns}, "objective": function}
    return [job(optimizer, **{"loss": {"kind": kind}, **models.get(kind, {})}) for kind in LOSSES]


def models(optimizer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a job for every model, and for its dialects and parts."""
    small: dict[str, Any] = {"steps": 2, "dataset": {"kind": "digits", "batch_size": 10}}
    digits: dict[str, Any] = {"steps": 2, "dataset": {"kind": "mnist", "batch_size": 4}}
    ctc = {"loss": {"kind": "ctc"}}
    more: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {
        "sequential": [({"layers": LAYERS}, {})],
        "resnet": [({}, small)],
        "mobilenet_v3": [({"scale": 0.1}, small), ({"dialect": "paddleocr", **THIN}, small)],
        "crnn": [
            ({"backbone": {"kind": "mobilenet_v3", **THIN}, "hidden": 4}, small | ctc),
            ({"backbone": {"kind": "resnet_vd", "depth": 18}, "hidden": 4}, digits | ctc),
        ],
        "gpt": [(GPT, {"dataset": {**TEXT, "batch_size": 10}})],
        "point": [({}, {"dataset": {"kind": "quadratic"}, "loss": {"kind": "objective"}})],
        "vit": [({"patch_size": 4, "layers": 1, "heads": 2, "hidden": 8}, small)],
    }
    return [
        job(optimizer, model={"kind": kind, **fields}, **changes)
        for kind in MODELS
        for fields, changes in more.get(kind, [({}, {})])
    ]


def datasets(optimizer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a job for every dataset."""
    tasks: dict[Task, dict[str, Any]] = {
        "multi_label": {"loss": {"kind": "bce"}},
        "regression": {"loss": {"kind": "mse"}},
        "sequence": {
            "loss": {"kind": "ctc"},
            "model": {"kind": "sequential", "layers": COLUMNS},
        },
        "language_model": {"model": {"kind": "gpt", **GPT}},
        "minimization": POINT,
    }
    jobs = []
    for kind, each in DATASETS.items():
        required = REQUIRED.get(kind, {"kind": kind})
        required = required | (NOISY if issubclass(each, ObjectiveSpec) else {})
        dataset = each.parse({**required, "batch_size": 50})
        more = tasks.get(dataset.target.task, {})
        if kind == "mnist_lines":
            more = more | {"model": {"kind": "sequential", "layers": LINE_COLUMNS}}
        jobs.append(job(optimizer, dataset=dataset.model_dump(), **more))
    return jobs


def effect(spec: JobSpec) -> str:
    """Return all that a job reports and leaves, its plan, and what chooses its worker."""
    plan, record = plan_of(spec), new_fields(spec)
    planned = [getattr(plan, name) for name in PLANNED]
    where = [record[name] for name in RECORDED]
    groups = [(group.match, group.parameters) for group in plan.groups]
    return repr((planned, groups, where, spec.columns, *_trained(spec)))


def _trained(spec: RunSpec) -> tuple[list[Any], str]:
    seen: list[Any] = []
    try:
        run = Run.of(spec, _examples(spec))
    except DatasetMissing as error:
        return [type(error)], ""
    try:
        for report in train(run):
            if isinstance(report, StepReport):
                # Observed columns are those of this machine, which differ from run to run.
                values = report.values[: spec.num_computed - 2]
                seen.append((report.lr, report.loss, report.lrs, values))
            elif isinstance(report, Evaluation):
                seen.append(report)
            if run.row >= LONGEST:
                break
            if run.settled and run.checkpoint_is_due:
                seen.append(f"checkpoint at {run.row}")
    except Diverged as error:
        seen.append(str(error))
    return seen, digest(run.tensors())


def _examples(spec: RunSpec) -> Dataset:
    """Return a few examples of the shape of those of the dataset, which may not be here."""
    if isinstance(spec.dataset, Text):
        with TemporaryDirectory() as folder:
            write_text(Path(folder), "a.txt")
            return load(spec.dataset, Path(folder))
    if isinstance(spec.dataset, ObjectiveSpec):
        return load(spec.dataset, Path())
    if isinstance(spec.dataset, MnistLinesSpec):
        lines = lines_of(spec.dataset, some_digits())
        turns = isinstance(spec.dataset, MnistLinesRotated)
        return turned(lines, spec.dataset.seed) if turns else lines
    generator = torch.Generator().manual_seed(5)

    def some(number: int) -> Examples:
        pixels = torch.randint(0, 256, (number, *spec.dataset.shape), generator=generator)
        return Examples(pixels.to(torch.uint8), targets(number))

    def targets(number: int) -> Tensor:
        target = spec.dataset.target
        if target.task == "classification":
            return torch.randint(0, target.size, (number,), generator=generator)
        shape = (number, target.longest if target.task == "sequence" else target.size)
        if target.task == "regression":
            return torch.rand(shape, generator=generator)
        classes = 2 if target.task == "multi_label" else target.size
        drawn = torch.randint(0, classes, shape, generator=generator)
        return drawn.float() if target.task == "multi_label" else drawn

    validation = some(VALIDATION_EXAMPLES) if spec.dataset.validation_examples else None
    return Dataset(some(TRAIN_EXAMPLES), some(TEST_EXAMPLES), validation)
