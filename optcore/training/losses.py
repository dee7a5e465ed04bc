"""Loss functions, and which predictions were correct."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import torch
from torch import Tensor
from torch.nn import functional

from optcore.spec.losses import (
    AnyLoss,
    BinaryCrossEntropy,
    CrossEntropy,
    Ctc,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    NegativeLogLikelihood,
)

Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(outputs, labels)`` returns the mean loss of a batch. The network's outputs have the shape
(batch, ...); labels have the shape (batch,) and the dtype int64."""

BLANK = 0
"""Index of the channel for the blank label, which is no class, in the outputs for ctc."""


def loss_of(spec: AnyLoss, num_classes: int) -> Loss:
    """Return the loss function that *spec* describes, computed in float32 or wider."""
    loss = _loss_of(spec, num_classes)
    return lambda outputs, labels: loss(outputs if _wide(outputs) else outputs.float(), labels)


def _wide(outputs: Tensor) -> bool:
    return outputs.dtype.itemsize >= torch.float32.itemsize


def _loss_of(spec: AnyLoss, num_classes: int) -> Loss:
    def one_hot(labels: Tensor, like: Tensor) -> Tensor:
        return functional.one_hot(labels, num_classes).to(like.dtype)

    match spec:
        case CrossEntropy():
            smoothing = spec.label_smoothing
            return lambda x, y: functional.cross_entropy(x, y, label_smoothing=smoothing)
        case MeanSquaredError():
            return lambda x, y: functional.mse_loss(x, one_hot(y, x))
        case MeanAbsoluteError():
            return lambda x, y: functional.l1_loss(x, one_hot(y, x))
        case Huber():
            return lambda x, y: functional.huber_loss(x, one_hot(y, x), delta=spec.delta)
        case BinaryCrossEntropy():
            return lambda x, y: functional.binary_cross_entropy_with_logits(x, one_hot(y, x))
        case NegativeLogLikelihood():
            return functional.nll_loss
        case Ctc():
            return _ctc
        case _:
            assert_never(spec)


def right(spec: AnyLoss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return, for each example, whether the network's *outputs* predict its label."""
    if not isinstance(spec, Ctc):
        return outputs.argmax(1) == labels
    path = outputs.squeeze(2).argmax(1)  # (batch, steps)
    said = path != BLANK
    said[:, 1:] &= path[:, 1:] != path[:, :-1]
    return (said.sum(1) == 1) & ((path * said).sum(1) == labels + 1)


def _ctc(outputs: Tensor, labels: Tensor) -> Tensor:
    # Computed on the CPU: torch's CUDA kernel has no deterministic gradient.
    steps = outputs.squeeze(2).permute(2, 0, 1).log_softmax(2).cpu()
    labels, count = labels.cpu(), len(labels)
    losses = functional.ctc_loss(
        steps,
        (labels + 1).unsqueeze(1),
        torch.full((count,), len(steps)),
        torch.ones(count, dtype=torch.int64),
        blank=BLANK,
        reduction="none",
    )
    # reduction="mean" divides each loss by its target's length first; PaddleOCR does not.
    return losses.mean()
