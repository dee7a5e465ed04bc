"""The spec of a run (model, dataset, optimizer, schedule, training), and values derived from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, prod
from typing import Self

from pydantic import Field, ValidationError, model_validator

from optcore.metrics.base import Metric
from optcore.metrics.catalogue import metrics, metrics_of
from optcore.packages.entry_points import package_of, packages_of, raised
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.catalogue import AnySchedule
from optcore.schedules.families.piecewise import Constant
from optcore.spec.base import Spec
from optcore.spec.datasets.catalogue import AnyDataset
from optcore.spec.duration import RunLength
from optcore.spec.errors import reject
from optcore.spec.fit import check_parts
from optcore.spec.groups.matching import Parameter
from optcore.spec.groups.resolve import ResolvedGroup, resolve_groups
from optcore.spec.layers.base import Shape
from optcore.spec.loss_scale import STARTS, DynamicLossScale, FixedLossScale
from optcore.spec.models.catalogue import AnyModel
from optcore.spec.networks.frozen import fixed_norms, frozen_names
from optcore.spec.networks.network import LayerSummary, Network, network_of
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import AnyOptimizer
from optcore.spec.tasks.tasks import Task
from optcore.spec.training import COMPUTED, OBSERVED, Training
from optcore.spec.weights import ShadowEma


@dataclass(frozen=True)
class Scheduled:
    """
    A hyperparameter that has a schedule.

    Attributes:
        path: path of the schedule in the spec of the run.
        name: name of the hyperparameter.
        schedule: schedule of the hyperparameter.
        spec: the spec that has the hyperparameter: the optimizer, the optimizer with the values of
            a group, or the moving average.
    """

    path: tuple[str | int, ...]
    name: str
    schedule: ScheduleSpec
    spec: OptimizerSpec | ShadowEma

    @property
    def value(self) -> float:
        """The hyperparameter's value in the spec, from which the schedule starts."""
        return self.spec.hyperparameters()[self.name]


class RunSpec(Spec):
    """
    Everything that determines what a run computes.

    Runs with equal specs on equal machines give results that are equal bit for bit.
    """

    model: AnyModel
    """The network."""
    dataset: AnyDataset
    """The data to train on."""
    optimizer: AnyOptimizer
    """The optimizer, which turns gradients into updates."""
    schedule: AnySchedule = Field(default_factory=lambda: Constant(kind="constant"))
    """How lr changes over the run."""
    training: Training
    """How long to train, on which device and in which precision."""

    @cached_property
    def steps_per_epoch(self) -> int:
        """Number of updates in a pass over the training data; the last may have fewer examples."""
        # An accumulation ends with its pass, so the last update of a pass may have fewer batches.
        return ceil(self.dataset.train_examples / self.examples_per_step)

    @property
    def examples_per_step(self) -> int:
        """Number of examples per update; the last update of a pass may have fewer."""
        return self.dataset.batch_size * self.training.accumulate

    @property
    def task(self) -> Task:
        """What the run learns to predict, which follows from the dataset and the loss."""
        return "sequence" if self.training.loss.OF_SEQUENCES else self.dataset.target.task

    @property
    def draws(self) -> bool:
        """Whether a layer of the network draws random numbers in training."""
        return self.network.draws

    @property
    def packages(self) -> dict[str, str]:
        """Name -> version of the installed packages whose kinds or metrics the run uses."""
        # Before `packages_of`, which knows a package once its metrics are there.
        return packages_of(self._classes(metrics()))

    def _classes(self, known: Mapping[str, type[Metric]]) -> Iterator[type]:
        """
        Yield the class of each part of the run that a package may have added.

        Args:
            known: name -> class of each metric.
        """
        yield from (known[name] for name in self.metric_names)
        yield from map(type, (self.model, self.dataset, self.training.loss))
        yield from (type(node.layer) for node in self.network.nodes)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the metrics that an evaluation measures, without split: loss, accuracy, ..."""
        training = self.training
        asked = {
            *training.metrics,
            *(("top_k",) if training.top_k is not None else ()),
            *(("confusion",) if training.confusion else ()),
        }
        known = metrics_of(self.task)
        return tuple(name for name, each in known.items() if not each.ON_REQUEST or name in asked)

    @property
    def evaluates(self) -> bool:
        """
        Whether there is something to evaluate, or a metric to observe, before the end of the run.

        This is true with validation examples, with a schedule that follows a metric, and in a run
        from a release up to 0.2.0.
        """
        observed = self.schedule.STATEFUL or self.training.chooses_by_test
        return observed or self.dataset.validation_examples > 0

    @property
    def loss_scale(self) -> FixedLossScale | DynamicLossScale | None:
        """The loss scale; by default, a dynamic loss scale in precisions fp16 and mindspore_o2."""
        # Not bf16: it has the exponents of float32, so its gradients do not vanish.
        if self.training.loss_scale is None and self.training.precision == "fp16":
            return DynamicLossScale(kind="dynamic")
        if self.training.loss_scale is None and self.training.precision == "mindspore_o2":
            # The DynamicLossScaleManager() of build_train_network, whatever the optimizer is.
            return DynamicLossScale(kind="dynamic", start=STARTS["mindspore"])
        return self.training.loss_scale

    @property
    def may_skip(self) -> bool:
        """Whether a step may skip its update, so that the run has fewer updates than steps."""
        match self.loss_scale:
            case DynamicLossScale():
                return True
            case FixedLossScale(drop_overflow=True):
                return True
        return self.training.on_divergence == "skip"

    @property
    def columns(self) -> tuple[str, ...]:
        """
        Columns of the series of recorded values.

        They are lr and loss, then t (the number of updates) if updates may be skipped, then the
        computed and at last the observed columns that the spec requests.
        """
        asked = self.training.columns
        # Where no update is skipped, t would only repeat the row's number.
        t = ("t",) if self.may_skip else ()
        # The order does not depend on the order in the spec. The columns that a resumed run
        # computes again are a prefix of each row, which is compared bit for bit.
        computed = tuple(name for name in COMPUTED if name in asked)
        observed = tuple(name for name in OBSERVED if name in asked)
        return ("lr", "loss", *t, *computed, *observed)

    @property
    def num_computed(self) -> int:
        """Number of leading columns that a resumed run must reproduce bit for bit."""
        return sum(name not in OBSERVED for name in self.columns)

    @cached_property
    def network(self) -> Network:
        """The network, whose outputs fit the targets of the dataset."""
        target = self.dataset.target
        try:
            layers = tuple(self.model.network(target))
        except ValidationError:  # of a layer
            raise
        # Any exception, if it is that of other people's code.
        except Exception as error:
            if package_of(type(self.model)) is None:
                raise
            reject(["model"], raised(type(self.model), error), self.model.kind)
        return network_of(layers, self.dataset.input)

    @cached_property
    def layers(self) -> tuple[LayerSummary, ...]:
        """
        A summary of each layer of the network, in their order.

        Raises:
            ShapeError: a layer does not accept the output of the layer before it.
        """
        return self.network.summary

    @property
    def num_parameters(self) -> int:
        """Number of elements in the parameters of the network, frozen parameters included."""
        return self.network.num_parameters

    @cached_property
    def frozen(self) -> frozenset[str]:
        """Names of the parameters that are not trained."""
        return frozen_names(self.network, self.training.frozen)

    @cached_property
    def num_frozen(self) -> int:
        """Number of elements in the parameters that are not trained."""
        return sum(prod(each.shape) for each in self.parameters() if not each.trainable)

    @property
    def fixed_norms(self) -> frozenset[str]:
        """Paths of the batch norms whose running statistics do not move."""
        if not self.training.frozen_statistics:
            return frozenset()
        return fixed_norms(self.network, self.training.frozen, self.frozen)

    def parameters(self) -> list[Parameter]:
        """Return the parameters of the network, in the order of its layers."""
        return list(self._parameters)

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of each parameter of the network, by name."""
        return {each.name: each.shape for each in self._parameters}

    @cached_property
    def _parameters(self) -> Sequence[Parameter]:
        known, frozen = self.network.parameters, self.frozen
        if not frozen:
            return known
        return [replace(each, trainable=False) if each.name in frozen else each for each in known]

    def scheduled(self) -> Iterator[Scheduled]:
        """Yield lr, then each other number with a schedule, also those of groups and the ema."""
        base = self.optimizer
        yield Scheduled(("schedule",), "lr", self.schedule, base)
        for name, schedule in base.schedules.items():
            yield Scheduled(("optimizer", "schedules", name), name, schedule, base)
        for i, group in enumerate(base.groups):
            where, own = ("optimizer", "groups", i), group.overrides
            spec = base.of_group(i, group)
            if group.schedule is not None:
                yield Scheduled((*where, "schedule"), "lr", group.schedule, spec)
            # Schedules that a group takes over from the optimizer were yielded above; a number that
            # the group sets replaces such a schedule.
            for name, schedule in spec.schedules.items():
                if isinstance(own.get(name), Mapping):  # written in place of the number
                    yield Scheduled((*where, name), name, schedule, spec)
                elif "schedules" in own:
                    yield Scheduled((*where, "schedules", name), name, schedule, spec)
        ema = self.training.ema
        if isinstance(ema, ShadowEma):
            for name, schedule in ema.schedules.items():
                yield Scheduled(("training", "ema", "schedules", name), name, schedule, ema)

    def groups(self) -> list[ResolvedGroup]:
        """Return the groups of parameters, which are resolved only once, each with its own spec."""
        return list(self._groups)

    def with_groups(self, groups: Sequence[ResolvedGroup]) -> Self:
        """Return a copy of this spec that uses *groups*, which were resolved from it before."""
        copy = self.model_copy()
        # Where cached_property looks for the value.
        copy.__dict__["_groups"] = list(groups)
        return copy

    @cached_property
    def _groups(self) -> list[ResolvedGroup]:
        # check_parts resolves the groups, perhaps inside `lifted`. The groups are cached because
        # parsing such specs again outside `lifted` would raise an error.
        # The error about a run has the first mistake alone.
        return resolve_groups(self.optimizer, self.parameters(), most_told=1)

    @property
    def total_steps(self) -> int:
        """Number of steps in the run: attempted updates, each of which is a row of the series."""
        if self.training.steps is not None:
            return self.training.steps
        assert self.training.epochs is not None  # Training has one of the two
        # Rounded as in `steps_in`, so that a duration of the same number of epochs is the whole
        # run.
        return max(1, round(self.training.epochs * self.steps_per_epoch))

    @cached_property
    def length(self) -> RunLength:
        """The length of the run, which converts durations to steps."""
        return RunLength(self.total_steps, self.steps_per_epoch)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check_parts(self)
        return self
