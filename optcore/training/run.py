"""A run in memory: everything that changes while it trains, in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from optcore.data.batches import Batches
from optcore.data.examples import Dataset
from optcore.data.load import load
from optcore.models.build import build, memory_format
from optcore.optimizers.make import make_optimizer
from optcore.optimizers.optimizer import FlatOptimizer
from optcore.spec.optimizers.resolve import ResolvedGroup
from optcore.spec.run import RunSpec
from optcore.training.fingerprint import run_facts
from optcore.training.reports import Evaluation
from optcore.training.seeds import seed_everything

DTYPES = {
    "fp32": torch.float32,
    "fp64": torch.float64,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass
class Run:
    """
    A spec come to life.

    Attributes:
        spec: what to do.
        dataset: on the device.
        device: what trains.
        model: in training mode.
        optimizer: over the model's parameters.
        batches: the walk over the training examples.
        shown_group: index of the parameter group whose lr stands for the run's.
        t: updates applied.
        evaluated: t of the last evaluation, or -1.
        loss_sum: of the losses since the last evaluation.
        loss_count: how many there were.
    """

    spec: RunSpec
    dataset: Dataset
    device: torch.device
    model: nn.Module
    optimizer: FlatOptimizer
    batches: Batches
    shown_group: int
    t: int = 0
    evaluated: int = field(default=-1)
    loss_sum: float = 0.0
    loss_count: int = 0

    @classmethod
    def start(cls, spec: RunSpec, *, data_dir: Path, device: str = "cpu") -> Self:
        """
        Return the run at its first step; seeds every source of randomness.

        Args:
            spec: what to do.
            data_dir: where datasets lie.
            device: ``cpu`` or ``cuda``.

        Raises:
            DatasetMissing: the data directory does not hold the dataset.
        """
        return cls.of(spec, load(spec.dataset, data_dir), device=device)

    @classmethod
    def of(cls, spec: RunSpec, dataset: Dataset, *, device: str = "cpu") -> Self:
        """Return the run on *dataset* at its first step; seeds every source of randomness."""
        place, dtype = torch.device(device), DTYPES[spec.training.precision]
        dataset = dataset.to(place)
        seed_everything(spec.training.seed)
        layers = spec.model.network(spec.dataset.num_classes)
        model = build(layers, spec.dataset.shape).to(place, dtype)
        model = model.to(memory_format=memory_format(place, dtype))  # type: ignore[call-overload]
        return cls(
            spec=spec,
            dataset=dataset,
            device=place,
            model=model.train(),
            optimizer=make_optimizer(
                model.named_parameters(),
                spec.clipped_optimizer,
                modules={p.name: p.module for p in spec.parameters() if p.module is not None},
                schedule=spec.schedule,
                total_steps=spec.total_steps,
                steps_per_epoch=spec.steps_per_epoch,
            ),
            batches=Batches(
                dataset.train,
                batch_size=spec.dataset.batch_size,
                shuffle=spec.dataset.shuffle,
                seed=spec.training.seed,
                dtype=dtype,
            ),
            shown_group=shown_group(spec.groups(), spec.optimizer.lr),
        )

    @property
    def dtype(self) -> torch.dtype:
        """Of parameters, gradients and slots."""
        return DTYPES[self.spec.training.precision]

    @property
    def finished(self) -> bool:
        """Whether every update was made."""
        return self.t >= self.spec.total_steps

    def applied_lrs(self) -> tuple[float, ...]:
        """Return what lr each group's last update was made with: the optimizer's, not a plan's."""
        return tuple([float(group["lr"]) for group in self.optimizer.param_groups])

    def observe(self, evaluation: Evaluation) -> None:
        """Tell the schedules that follow a metric what an evaluation found."""
        metrics = {
            "test_loss": evaluation.loss,
            "test_accuracy": evaluation.accuracy,
            "train_loss": self.loss_sum / self.loss_count if self.loss_count else math.nan,
        }
        for schedule in self.optimizer.followed():
            schedule.observe(metrics[schedule.metric])
        self.loss_sum, self.loss_count = 0.0, 0

    def facts(self) -> dict[str, str]:
        """Return what, besides the spec, decides the run's last bits."""
        return run_facts(
            self.device,
            engine=self.optimizer.engine,
            memory_format=memory_format(self.device, self.dtype),
        )

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the network's parameters and buffers by name, contiguous."""
        return {
            name: tensor.detach().contiguous() for name, tensor in self.model.state_dict().items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return every tensor of the run by name: ``model.*`` and ``optimizer.{slot}.*``."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model_tensors().items()}
        for slot, by_name in self.optimizer.named_slots().items():
            tensors |= {f"optimizer.{slot}.{name}": tensor for name, tensor in by_name.items()}
        return tensors


def shown_group(groups: Sequence[ResolvedGroup], lr: float) -> int:
    """Return the index of the first of *groups* with the run's own *lr*; 0 if all have others."""
    for i, group in enumerate(groups):
        own = group.schedule is not None or "lr" in group.spec.schedules
        if not own and group.lr_scale == 1 and group.spec.hyperparameters()["lr"] == lr:
            return i
    return 0
