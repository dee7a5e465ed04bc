"""A run: model, dataset, optimizer, schedule, training; and the plan that follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.datasets import AnyDataset
from optcore.spec.duration import MAX_STEPS, steps_in
from optcore.spec.errors import SpecError, violated
from optcore.spec.layers import BatchNorm, ShapeError
from optcore.spec.loss_scale import DynamicLossScale, FixedLossScale, first_scale
from optcore.spec.models import AnyModel, named, summarize
from optcore.spec.optimizers import AnyOptimizer, Lbfgs, OptimizerSpec
from optcore.spec.optimizers.resolve import Parameter, ResolvedGroup, resolve_groups
from optcore.spec.schedules import AnySchedule, Constant, ScheduleSpec, in_words
from optcore.spec.training import COMPUTED, OBSERVED, Training

MAX_PARAMETERS = 500_000_000
"""The largest network, in trainable numbers."""

MAX_COST = 1_000_000_000
"""Values computed for one schedule of a run, those of its parts counted."""


@dataclass(frozen=True)
class Moved:
    """
    A number that a schedule moves over the run.

    Attributes:
        path: where the schedule is written.
        name: of the hyperparameter.
        schedule: what moves it.
        spec: the optimizer, as it holds there.
    """

    path: tuple[str | int, ...]
    name: str
    schedule: ScheduleSpec
    spec: OptimizerSpec

    @property
    def value(self) -> float:
        """What the schedule starts from."""
        return self.spec.hyperparameters()[self.name]


class RunSpec(Spec):
    """
    Everything that decides what a run computes.

    Two runs of equal specs on equal machines give equal bits.
    """

    model: AnyModel
    """The network."""
    dataset: AnyDataset
    """What it learns."""
    optimizer: AnyOptimizer
    """How a gradient becomes an update."""
    schedule: AnySchedule = Field(default_factory=lambda: Constant(kind="constant"))
    """How lr moves over the run."""
    training: Training
    """How long, on what and in which precision."""

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the training data; a last short one counts."""
        return ceil(self.dataset.train_examples / self.examples_per_step)

    @property
    def examples_per_step(self) -> int:
        """Examples of one update; the last of a pass may have less."""
        return self.dataset.batch_size * self.training.accumulate

    @property
    def loss_scale(self) -> FixedLossScale | DynamicLossScale | None:
        """What scales the loss: fp16 has a dynamic one unless told otherwise."""
        if self.training.loss_scale is None and self.training.precision == "fp16":
            return DynamicLossScale(kind="dynamic")
        return self.training.loss_scale

    @property
    def may_skip(self) -> bool:
        """Whether a step may be made without an update, so that t falls behind the rows."""
        match self.loss_scale:
            case DynamicLossScale():
                return True
            case FixedLossScale(drop_overflow=True):
                return True
        return self.training.on_divergence == "skip"

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the series: lr, loss, then other computed ones, then observed ones."""
        asked = self.training.columns
        t = ("t",) if self.may_skip else ()
        computed = tuple(name for name in COMPUTED if name in asked)
        observed = tuple(name for name in OBSERVED if name in asked)
        return ("lr", "loss", *t, *computed, *observed)

    @property
    def num_computed(self) -> int:
        """How many of the columns, the first ones, a resumed run must compute equal."""
        return sum(name not in OBSERVED for name in self.columns)

    @property
    def whole_optimizer(self) -> OptimizerSpec:
        """The optimizer, with the clip and the loss scale of the training if that has them."""
        fields: dict[str, object] = {}
        if self.training.clip is not None:
            fields["clip"] = self.training.clip
        if self.loss_scale is not None:
            fields["loss_scale"] = first_scale(self.loss_scale, self.optimizer.dialect)
        return self.optimizer.with_fields(**fields) if fields else self.optimizer

    def parameters(self) -> list[Parameter]:
        """Return the network's parameters, in its order."""
        layers = named(self.model.network(self.dataset.num_classes))
        shape, found = self.dataset.shape, []
        for name, layer in layers:
            found += [
                Parameter(f"{name}.{parameter.name}", parameter.shape, layer.kind)
                for parameter in layer.parameters(shape)
            ]
            shape = layer.output_shape(shape)
        return found

    def moved(self) -> Iterator[Moved]:
        """Yield every number that moves: the run's lr, and what optimizer and groups schedule."""
        base = self.optimizer
        yield Moved(("schedule",), "lr", self.schedule, base)
        for name, schedule in base.schedules.items():
            yield Moved(("optimizer", "schedules", name), name, schedule, base)
        for i, group in enumerate(base.groups):
            where, own = ("optimizer", "groups", i), group.overrides
            spec = base.overridden(own)
            if group.schedule is not None:
                yield Moved((*where, "schedule"), "lr", group.schedule, spec)
            for name, schedule in spec.schedules.items():
                if isinstance(own.get(name), Mapping):  # written in place of the number
                    yield Moved((*where, name), name, schedule, spec)
                elif "schedules" in own:
                    yield Moved((*where, "schedules", name), name, schedule, spec)
                elif name in own:
                    yield Moved(("optimizer", "schedules", name), name, schedule, spec)

    def groups(self) -> list[ResolvedGroup]:
        """Return the parameters in groups, and what holds for each."""
        return resolve_groups(self.whole_optimizer, self.parameters())

    @property
    def total_steps(self) -> int:
        """Updates in the whole run."""
        if self.training.steps is not None:
            return self.training.steps
        assert self.training.epochs is not None  # Training has one of the two
        return max(1, round(self.training.epochs * self.steps_per_epoch))

    @model_validator(mode="after")
    def _steps_are_bounded(self) -> Self:
        if self.total_steps > MAX_STEPS:
            violated(
                ["training", "epochs"],
                f"epochs must come to at most {MAX_STEPS} steps, got {self.total_steps}",
                self.training.epochs,
            )
        return self

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        layers = self.model.network(self.dataset.num_classes)
        try:
            rows = summarize(layers, self.dataset.shape)
        except ShapeError as error:
            violated(
                ["model"],
                f"model must take the examples of {self.dataset.kind}, of shape "
                f"{self.dataset.shape}: {error}",
                self.model.kind,
            )
        loss, classes, shape = self.training.loss, self.dataset.num_classes, rows[-1].output_shape
        if not loss.takes(shape, classes):
            violated(
                ["model"],
                f"model must end with {loss.TAKES} for loss {loss.kind} and the {classes} classes "
                f"of {self.dataset.kind}, got shape {shape}",
                self.model.kind,
            )
        if loss.kind == "nll" and layers[-1].kind != "log_softmax":
            violated(
                ["training", "loss", "kind"],
                f"loss nll needs a model that ends with log_softmax, got {layers[-1].kind}; "
                "cross_entropy takes what comes before one",
                loss.kind,
            )
        size = sum(row.num_parameters for row in rows)
        if not 0 < size <= MAX_PARAMETERS:
            violated(
                ["model"],
                f"model must have from 1 to {MAX_PARAMETERS} parameters, got {size}",
                self.model.kind,
            )
        return self

    @model_validator(mode="after")
    def _groups_find_parameters(self) -> Self:
        if self.training.clip is not None and self.optimizer.clip is not None:
            violated(
                ["training", "clip"],
                "clip must be given once, got it in training and in optimizer",
                self.training.clip.kind,
            )
        try:
            self.groups()
        except SpecError as error:
            first = error.problems[0]
            violated(["optimizer", first.param], first.message, None)
        return self

    @model_validator(mode="after")
    def _no_batch_of_one_is_normalised(self) -> Self:
        last = self.dataset.train_examples % self.dataset.batch_size or self.dataset.batch_size
        shape = self.dataset.shape
        for name, layer in named(self.model.network(self.dataset.num_classes)):
            if last == 1 and isinstance(layer, BatchNorm) and prod(shape[1:]) == 1:
                violated(
                    ["dataset", "batch_size"],
                    f"batch_size must not leave a last batch of 1 example, whose values layer "
                    f"{name} (batch_norm) could not tell from their mean, got "
                    f"{self.dataset.batch_size} of {self.dataset.train_examples} examples",
                    self.dataset.batch_size,
                )
            shape = layer.output_shape(shape)
        return self

    @model_validator(mode="after")
    def _lbfgs_is_by_itself(self) -> Self:
        if not isinstance(self.optimizer, Lbfgs):
            return self
        self.optimizer.check_schedule(self.schedule)
        training = self.training
        for name, given, only in (
            ("precision", training.precision, ("fp32", "fp64")),
            ("accumulate", training.accumulate, (1,)),
            ("loss_scale", training.loss_scale and training.loss_scale.kind, (None,)),
            ("on_divergence", training.on_divergence, ("fail",)),
        ):
            if given not in only:
                wanted = " or ".join("null" if value is None else str(value) for value in only)
                violated(
                    ["training", name],
                    f"{name} must be {wanted} for lbfgs, which looks at the loss several times "
                    f"a step, got {given}",
                    given,
                )
        return self

    @model_validator(mode="after")
    def _evaluations_fit_the_loss(self) -> Self:
        training, classes = self.training, self.dataset.num_classes
        if training.top_k is not None and training.top_k > classes:
            violated(
                ["training", "top_k"],
                f"top_k must be at most the {classes} classes of {self.dataset.kind}, "
                f"got {training.top_k}",
                training.top_k,
            )
        if training.loss.kind == "ctc":
            for name, given in (("top_k", training.top_k), ("confusion", training.confusion)):
                if given:
                    violated(
                        ["training", name],
                        f"{name} is not for loss ctc, whose answers are sequences, got {given}",
                        given,
                    )
        return self

    @model_validator(mode="after")
    def _scaled_once(self) -> Self:
        if self.loss_scale is not None and self.optimizer.loss_scale != 1:
            violated(
                ["optimizer", "loss_scale"],
                "loss_scale must be given once, got it in training "
                f"({self.loss_scale.kind}) and in optimizer",
                self.optimizer.loss_scale,
            )
        if self.training.lookahead is not None and self.optimizer.multi_precision:
            violated(
                ["training", "lookahead"],
                "lookahead is not for multi_precision, whose float32 copies it would not see",
                None,
            )
        return self

    @model_validator(mode="after")
    def _durations_have_steps(self) -> Self:
        for name in ("evaluate_every", "checkpoint_every"):
            duration = getattr(self.training, name)
            if duration is not None and steps_in(duration, self.steps_per_epoch) < 1:
                violated(
                    ["training", name],
                    f"{name} must be at least 1 step, "
                    f"got {in_words(duration, self.steps_per_epoch)}",
                    duration,
                )
        return self

    @model_validator(mode="after")
    def _lr_has_one_schedule(self) -> Self:
        text = "lr must be scheduled once, got it in schedules and in schedule; use schedule"
        if "lr" in self.optimizer.schedules and self.schedule != Constant(kind="constant"):
            violated(["optimizer", "schedules", "lr"], text, "lr")
        for i, group in enumerate(self.optimizer.groups):
            if group.schedule is not None and "lr" in (group.overrides.get("schedules") or {}):
                violated(["optimizer", "groups", i, "schedules", "lr"], text, "lr")
        return self

    def _check_follower(self, moved: Moved) -> None:
        kind = moved.schedule.kind
        if moved.path != ("schedule",):
            violated(
                [*moved.path, "kind"],
                f"kind {kind} follows a metric and is only for the run's own schedule",
                kind,
            )
        if self.training.evaluate_every is None:
            violated(
                ["training", "evaluate_every"],
                f"evaluate_every is required for schedule {kind}, which follows evaluations, "
                "got null",
                None,
            )

    @model_validator(mode="after")
    def _schedules_fit(self) -> Self:
        for moved in self.moved():
            if moved.schedule.STATEFUL:
                self._check_follower(moved)
            for path, message, value in moved.schedule.misfits(
                total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch
            ):
                violated([*moved.path, *path], message, value)
            cost = moved.schedule.cost(self.total_steps, self.steps_per_epoch)
            if cost > MAX_COST:
                violated(
                    [*moved.path],
                    f"schedule must come to at most {MAX_COST} values, those of all its parts "
                    f"together, got {cost} in {self.total_steps} steps",
                    moved.schedule.kind,
                )
        return self
