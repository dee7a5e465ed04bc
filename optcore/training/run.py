"""A run in memory: everything that changes during training, in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from optcore.data.batches import Batches
from optcore.data.examples import Dataset, DatasetMissing
from optcore.data.load import check_continued, load
from optcore.networks.build import check_fit, network, set_tensors, tensors_of
from optcore.networks.draws import Draws
from optcore.networks.frozen import freeze
from optcore.networks.layout import memory_format, takes_taps
from optcore.networks.taps import TAPS, use_taps, uses_taps
from optcore.optimizers.engine.optimizer import FlatOptimizer
from optcore.optimizers.make import optimizer_of
from optcore.plan.facts import DatasetFacts
from optcore.plan.memory.memory import EVALUATED_TOGETHER, evaluated
from optcore.plan.run_plan import StoredPlan
from optcore.spec.duration import Epochs, steps_in
from optcore.spec.evaluation import TRAIN_LOSS
from optcore.spec.former.runs import may_be_former
from optcore.spec.groups.resolve import displayed_group
from optcore.spec.loss_scale import DynamicLossScale, first_scale
from optcore.spec.run import RunSpec
from optcore.training.best import Best
from optcore.training.fingerprint import ALIGNED, KEYED, run_facts
from optcore.training.generators import seed_everything
from optcore.training.levels import forward_of
from optcore.training.losses import Loss, loss_of
from optcore.training.precision import DTYPES, Scaler, all_finite, autocast
from optcore.training.reports import Evaluation
from optcore.training.weights import Ema, Slow


@dataclass
class Run:
    """
    The state of a training run.

    Attributes:
        spec: the description of the run.
        dataset: the training, validation and test examples, on *device*.
        device: the device that the run trains on.
        model: the network, in training mode.
        draws: the source of random numbers for the layers of *model*.
        forward: the function that computes the outputs of *model*, in the run's precision.
        loss: the function that computes the loss from outputs and targets.
        autocast: the context in which outputs and loss are computed.
        optimizer: the optimizer for the network's parameters.
        batches: the training batches, and the position in them.
        displayed_group: the index of the parameter group whose lr is reported as the run's lr.
        scaler: the current loss scale; None if the loss is not scaled.
        ema: the averaged weights; None if no average is kept in addition to the trained weights.
        slow: the slow weights of lookahead; None without lookahead.
        best: the best value of the metric that chooses the best checkpoint, if one is kept.
        stopping: the best value of the metric for early stopping; None without early stopping.
        total_steps: the number of steps in the whole run.
        evaluate_interval: the number of steps between evaluations; 0 for only one, at the end.
        checkpoint_interval: the number of steps between checkpoints; 0 for none.
        evaluated_together: the number of examples in a batch of an evaluation.
        row: the number of steps made. Each step adds a row of metrics.
        rows_before: the number of steps of the runs that this run continues.
        t: the number of updates made; it is less than *row* if steps skipped their updates.
        micro: the number of batches of the current step whose gradients have been accumulated.
        partial_loss: the part of the current step's loss that comes from these batches.
        settled: whether every step made has been reported, so that the run may be saved.
        stopped: whether early stopping has ended the run.
        evaluated: *row* at the last evaluation; -1 before the first evaluation.
        loss_sum, loss_count: sum and number of the steps' losses since the last evaluation.
        interrupt: an event that any thread may set, so that `train` soon makes `settled` true.
    """

    spec: RunSpec
    dataset: Dataset
    device: torch.device
    model: nn.Module
    draws: Draws
    forward: Callable[[Tensor], Tensor]
    loss: Loss
    autocast: AbstractContextManager[None]
    optimizer: FlatOptimizer
    batches: Batches
    displayed_group: int
    scaler: Scaler | None
    ema: Ema | None
    slow: Slow | None
    best: Best | None
    stopping: Best | None
    total_steps: int
    evaluate_interval: int
    checkpoint_interval: int
    evaluated_together: int
    row: int = 0
    rows_before: int = 0
    t: int = 0
    micro: int = 0
    partial_loss: float = 0.0
    settled: bool = True
    stopped: bool = False
    evaluated: int = -1
    loss_sum: float = 0.0
    loss_count: int = 0
    interrupt: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def start(
        cls,
        spec: RunSpec,
        *,
        data_dir: Path,
        device: str = "cpu",
        weights: Mapping[str, Tensor | None] | None = None,
        plan: StoredPlan | None = None,
    ) -> Self:
        """
        Return a run at its first step, after seeding every random generator.

        Args:
            spec: the description of the run.
            data_dir: the folder that holds the datasets.
            device: ``cpu`` or ``cuda``.
            weights: the initial weights of the network, by name; None for random ones.
            plan: the stored plan of *spec*, whose schedules were checked when the plan was made. If
                None, a sample of their values is checked here.

        Raises:
            DatasetMissing: *data_dir* lacks the dataset, or *plan* was made for another dataset.
            ValueError: *weights* do not have the names and shapes of the network's weights.
        """
        if plan is not None:
            mismatch = plan.mismatch(DatasetFacts.of(spec.dataset))
            if mismatch:
                raise DatasetMissing(mismatch)
        dataset = load(spec.dataset, data_dir)
        return cls.of(spec, dataset, device=device, weights=weights, checked=plan is not None)

    @classmethod
    def of(
        cls,
        spec: RunSpec,
        dataset: Dataset,
        *,
        device: str = "cpu",
        weights: Mapping[str, Tensor | None] | None = None,
        checked: bool = False,
    ) -> Self:
        """Return a run on *dataset* at its first step, after seeding every random generator."""
        training = spec.training
        place, dtype = torch.device(device), DTYPES[training.precision]
        dataset = dataset.to(place)
        # Right before the initial weights are drawn: they depend on nothing drawn earlier.
        seed_everything(training.seed)
        draws = Draws(training.seed)
        draws.keyed = not training.chooses_by_test  # a job of 0.2.0 keeps its masks
        model = network(spec.network, draws, device=place, dtype=dtype)
        model = freeze(model, spec.frozen, spec.fixed_norms).train()
        use_taps(model, not may_be_former(spec) and takes_taps(place, dtype))
        if weights is not None:  # before anything copies them
            check_fit(weights, tensors_of(model))
            set_tensors(model, weights)
        scale = first_scale(spec.loss_scale, spec.optimizer.dialect)
        moves = isinstance(spec.loss_scale, DynamicLossScale)
        optimizer = optimizer_of(
            model.named_parameters(),
            spec,
            loss_scale=max(scale, 2.0) if moves else scale,
            checked=checked,
        )
        if moves:  # made for a scale of 1, it would have no unscaling, which a later scale needs
            optimizer.loss_scale = scale
        optimizer.align(not may_be_former(spec))
        return cls(
            spec=spec,
            dataset=dataset,
            device=place,
            model=model,
            draws=draws,
            forward=forward_of(model, training.precision),
            loss=loss_of(training.loss, spec.dataset.target),
            autocast=autocast(training.precision, place),
            optimizer=optimizer,
            batches=Batches(
                dataset.train,
                batch_size=spec.dataset.batch_size,
                shuffle=spec.dataset.shuffle,
                seed=training.seed,
                dtype=dtype,
            ),
            displayed_group=displayed_group(spec.groups(), spec.optimizer.lr),
            **_companions(spec, model),
            total_steps=spec.total_steps,
            evaluate_interval=_interval(training.evaluate_every, spec) if spec.evaluates else 0,
            checkpoint_interval=_interval(training.checkpoint_every, spec),
            evaluated_together=evaluated(spec, place.type),
        )

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the parameters and their gradients."""
        return DTYPES[self.spec.training.precision]

    @property
    def finished(self) -> bool:
        """Whether all steps were made, or early stopping has ended the run."""
        return self.stopped or self.row >= self.total_steps

    @property
    def evaluation_is_due(self) -> bool:
        """Whether an evaluation is due before the next step."""
        is_due = self.finished or _due(self.row, self.evaluate_interval)
        return is_due and self.row != self.evaluated

    @property
    def checkpoint_is_due(self) -> bool:
        """Whether a checkpoint is due before the next step."""
        return _due(self.row, self.checkpoint_interval)

    @property
    def next_checkpoint(self) -> float:
        """Number of steps after which the next checkpoint is due; infinite without checkpoints."""
        every = self.checkpoint_interval
        return self.row + every - self.row % every if every else float("inf")

    def applied_lrs(self) -> tuple[float, ...]:
        """Return the learning rate that the optimizer last used for each parameter group."""
        return tuple([float(group["lr"]) for group in self.optimizer.param_groups])

    def ends_with(self, evaluation: Evaluation) -> bool:
        """Return whether the run ends with *evaluation*, by its length or by early stopping."""
        stopping, patience = self.stopping, self.spec.training.early_stopping
        if self.finished or stopping is None or patience is None:
            return self.finished
        after = replace(stopping)
        after.observe(evaluation.metric(stopping.metric), self.row)
        return after.waited >= patience.patience

    def observe(self, evaluation: Evaluation) -> bool:
        """
        Record an evaluation for metric-driven schedules, the best checkpoint and early stopping.

        Returns:
            whether the evaluation is the best so far; false if no best checkpoint is kept.
        """
        self.evaluated = self.row
        for schedule in self.optimizer.metric_driven():
            if schedule.metric != TRAIN_LOSS:
                schedule.observe(evaluation.metric(schedule.metric))
            # If every step was skipped, there is no training loss; NaN would count as a bad value.
            elif self.loss_count:
                schedule.observe(self.loss_sum / self.loss_count)
        self.loss_sum, self.loss_count = 0.0, 0
        stopping, patience = self.stopping, self.spec.training.early_stopping
        if stopping is not None and patience is not None:
            stopping.observe(evaluation.metric(stopping.metric), self.row)
            # After the last step a run is complete, not stopped early.
            self.stopped = stopping.waited >= patience.patience and self.row < self.total_steps
        best = self.best
        return best is not None and best.observe(evaluation.metric(best.metric), self.row)

    def facts(self) -> dict[str, str]:
        """Return the facts besides the spec that determine the run's results bit for bit."""
        return run_facts(
            self.device,
            engine=self.optimizer.engine,
            memory_format=memory_format(self.device, self.dtype),
            keyed=self.spec.draws and self.draws.keyed,
            aligned=self.optimizer.aligned,
            taps=uses_taps(self.model),
            evaluated=self.evaluated_together,
            data=self.dataset.digest,
            packages=self.spec.packages,
        )

    def adopt(self, facts: Mapping[str, str]) -> None:
        """
        Draw random numbers and compute steps as the run with these *facts* did.

        Raises:
            DatasetMissing: the run began with another file.
        """
        check_continued(self.spec.dataset, self.dataset, facts.get("data", ""))
        self.draws.keyed = not self.spec.draws or facts.get("draws") == KEYED
        self.optimizer.align(facts.get("spans") == ALIGNED)
        can = takes_taps(self.device, self.dtype)
        use_taps(self.model, can and facts.get("convolutions") == TAPS)
        self.evaluated_together = int(facts.get("evaluation", EVALUATED_TOGETHER))

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the network's parameters and buffers, as contiguous tensors by name."""
        return {n: tensor.detach().contiguous() for n, tensor in tensors_of(self.model).items()}

    def tensors(self) -> dict[str, Tensor]:
        """
        Return every tensor of the run by name.

        The names begin with ``model.`` and ``optimizer.{slot}.``; those of averaged weights with
        ``ema.``, those of slow weights with ``lookahead.``.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model_tensors().items()}
        for slot, by_name in self.optimizer.named_slots().items():
            tensors |= {f"optimizer.{slot}.{name}": tensor for name, tensor in by_name.items()}
        for kind, beside in (("ema", self.ema), ("lookahead", self.slow)):
            if beside is not None:
                tensors |= {f"{kind}.{n}": t.contiguous() for n, t in beside.tensors.items()}
        return tensors

    def is_finite(self) -> bool:
        """Return whether all weights and running statistics of the network are finite."""
        return all_finite([*(p.detach() for p in self.model.parameters()), *self.statistics])

    @property
    def statistics(self) -> list[Tensor]:
        """Running statistics of the network: BatchNorm's means and variances."""
        return [buffer for buffer in self.model.buffers() if buffer.is_floating_point()]

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of an unfinished step: parameter name -> contiguous tensor."""
        # Between steps the gradients of the last step still exist, but the next step drops them.
        params = dict(self.model.named_parameters()) if self.micro else {}
        return {n: p.grad.contiguous() for n, p in params.items() if p.grad is not None}


def _companions(spec: RunSpec, model: nn.Module) -> dict[str, Any]:
    """Return field -> value for fields of `Run` that are None if *spec* does not ask for them."""
    training, scale, stopping = spec.training, spec.loss_scale, spec.training.early_stopping
    beside = training.shadow_ema
    return {
        "scaler": None if scale is None else Scaler(scale, spec.optimizer.dialect),
        "ema": None if beside is None else Ema(model, beside, spec.length),
        "slow": None if training.lookahead is None else Slow(model, training.lookahead),
        "best": None if training.keep_best is None else Best(training.keep_best),
        "stopping": None if stopping is None else Best(stopping.metric, stopping.min_delta),
    }


def _interval(every: int | Epochs | None, spec: RunSpec) -> int:
    return 0 if every is None else steps_in(every, spec.steps_per_epoch)


def _due(row: int, interval: int) -> bool:
    return interval > 0 and row > 0 and row % interval == 0
