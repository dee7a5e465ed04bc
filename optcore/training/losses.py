"""Loss functions, which compute the mean loss of a batch and the divisor of this mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from optcore.data.objectives import function_of
from optcore.metrics.sequences import BLANK, by_step
from optcore.packages.code import code_of
from optcore.packages.entry_points import PackageError, package_of
from optcore.spec.tasks.base import InstalledLoss
from optcore.spec.tasks.losses import (
    AnyLoss,
    BinaryCrossEntropy,
    ClassLoss,
    CrossEntropy,
    Ctc,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    NegativeLogLikelihood,
    ObjectiveValue,
)
from optcore.spec.tasks.tasks import Target

Function = Callable[[Tensor, Tensor], Tensor]
"""``function(outputs, targets)`` returns the mean loss, or the sum of the losses, of a batch."""
Weights = Callable[[torch.dtype, torch.device], Tensor | None]
"""Returns the weights of the classes in a dtype, on a device; None if there are none."""
IGNORED = -100
"""torch's default of ignore_index: no target is negative."""


@dataclass(frozen=True)
class Loss:
    """
    A loss function, which computes the mean loss of a batch in float32 or wider.

    The network's outputs have the shape (batch, ...). The shape of the targets is in
    `optcore.spec.tasks.tasks.Target`.

    Attributes:
        spec: the spec of the loss.
        target: what the network learns to predict for an example.
        function: computes the mean loss of a batch; if examples may have different weights
            (``spec.weighted``), the sum of the weighted losses.
        weights: returns the weights of the classes as a tensor; None if the spec has none.
    """

    spec: AnyLoss
    target: Target
    function: Function
    weights: Weights

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch; 0 if no target in it has a weight above 0."""
        wide = outputs.dtype.itemsize >= torch.float32.itemsize
        if isinstance(self.spec, ObjectiveValue) and outputs.stride(0) == 0:
            # A point without layers after it: the rows are the same memory. A gradient that is the
            # sum of those of all rows, each divided by their number, could be 0 in 16 bits.
            mean = targets.mean(0, keepdim=True, dtype=outputs.dtype if wide else torch.float32)
            outputs, targets = outputs[:1], mean
        found = self.function(outputs if wide else outputs.float(), targets)
        if not self.spec.weighted:
            return found
        # torch's mean would be 0 / 0 for a batch in which no target counts.
        weight = self.weight(targets)
        return found / weight.where(weight > 0, 1.0).to(found.dtype)

    def counted(self, targets: Tensor) -> Tensor | None:
        """Return a mask of the targets that the loss does not ignore; None if it ignores none."""
        index = self.spec.ignore_index if isinstance(self.spec, ClassLoss) else None
        return None if index is None else targets != index

    def weight(self, targets: Tensor) -> Tensor:
        """Return the divisor of the mean loss: the sum of the examples' weights, as float64."""
        if not isinstance(self.spec, ClassLoss):
            return torch.tensor(float(len(targets)), dtype=torch.float64, device=targets.device)
        counted = self.counted(targets)
        table = self.weights(torch.float64, targets.device)
        if table is None:
            found = torch.ones_like(targets, dtype=torch.float64)
        else:
            # An ignored target may be no class, so it is replaced before it selects a weight.
            found = table[targets if counted is None else targets.where(counted, 0)]
        return (found if counted is None else found * counted).sum()


def loss_of(spec: AnyLoss, target: Target) -> Loss:
    """Return the loss that *spec* describes, for the targets that *target* describes."""
    weights = _weights(spec.class_weights if isinstance(spec, ClassLoss) else None)
    return Loss(spec, target, _function(spec, target, weights), weights)


def _function(spec: AnyLoss, target: Target, weights: Weights) -> Function:
    def numbers(targets: Tensor, like: Tensor) -> Tensor:
        if target.task == "classification":
            targets = functional.one_hot(targets, target.size)
        return targets.to(like.dtype)

    reduction = "sum" if spec.weighted else "mean"
    match spec:
        case CrossEntropy():
            smoothing, ignored = spec.label_smoothing, _ignored(spec)
            return lambda x, y: functional.cross_entropy(
                *_positions(x, y),
                weights(x.dtype, x.device),
                ignore_index=ignored,
                reduction=reduction,
                label_smoothing=smoothing,
            )
        case NegativeLogLikelihood():
            ignored = _ignored(spec)
            return lambda x, y: functional.nll_loss(
                *_positions(x, y),
                weights(x.dtype, x.device),
                ignore_index=ignored,
                reduction=reduction,
            )
        case MeanSquaredError():
            return lambda x, y: functional.mse_loss(x, numbers(y, x))
        case MeanAbsoluteError():
            return lambda x, y: functional.l1_loss(x, numbers(y, x))
        case Huber():
            return lambda x, y: functional.huber_loss(x, numbers(y, x), delta=spec.delta)
        case BinaryCrossEntropy():
            return lambda x, y: functional.binary_cross_entropy_with_logits(x, numbers(y, x))
        case Ctc():
            return _ctc
        case ObjectiveValue():
            return _objective(target)
        case InstalledLoss():
            return _installed(spec, target)
        case _:
            assert_never(spec)


def _installed(spec: InstalledLoss, target: Target) -> Function:
    function = code_of(type(spec))(spec, target)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        found = function(outputs, targets)
        if not isinstance(found, Tensor) or found.dim():
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            subject = f"{package_of(type(spec))}: loss {spec.kind}"
            raise PackageError(f"{subject}: must return a scalar, got {got}")
        return found

    return loss


def _positions(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs and targets; for a language model, reshaped to one row per position."""
    if targets.dim() == 1:
        return outputs, targets
    return outputs.flatten(0, 1), targets.flatten()


def _ignored(spec: ClassLoss) -> int:
    return IGNORED if spec.ignore_index is None else spec.ignore_index


def _weights(given: Sequence[float] | None) -> Weights:
    """Return a function that returns the class weights *given* as a tensor."""
    made: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def weights(dtype: torch.dtype, device: torch.device) -> Tensor | None:
        if given is None:
            return None
        if (dtype, device) not in made:
            made[dtype, device] = torch.tensor(given, dtype=dtype, device=device)
        return made[dtype, device]

    return weights


def _objective(target: Target) -> Function:
    assert target.objective is not None  # the spec refuses the loss for all other targets
    value, minimum = function_of(target.objective), target.objective.minimum

    def objective(outputs: Tensor, noise: Tensor) -> Tensor:
        # Not noise . x: at the minimum noise should add nothing to the loss.
        values = value(outputs) + (noise.to(outputs.dtype) * (outputs - minimum)).sum(1)
        # In float64: the mean of equal float32 values is that value, however many there are.
        return values.double().mean().to(values.dtype)

    return objective


def _ctc(outputs: Tensor, targets: Tensor) -> Tensor:
    # Computed on the CPU: torch's CUDA kernel has no deterministic gradient.
    steps = by_step(outputs).transpose(0, 1).log_softmax(2).cpu()
    sequences = (targets.unsqueeze(1) if targets.dim() == 1 else targets).cpu()
    count = len(sequences)
    losses = functional.ctc_loss(
        steps,
        sequences + 1,  # the -1 behind a sequence is not read
        torch.full((count,), len(steps)),
        (sequences >= 0).sum(1),
        blank=BLANK,
        reduction="none",
    )
    # reduction="mean" divides each loss by its target's length first; PaddleOCR does not.
    return losses.mean()
