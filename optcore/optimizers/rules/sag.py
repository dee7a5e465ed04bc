"""SAG: averages gradients over updates."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.optimizers.rules.rule import Flags, Numbers, Rule


def sag(
    param: Tensor,
    grad: Tensor,
    total: Tensor,
    *gradients: Tensor,
    lr: float,
    seen: float,
    **is_now: float,
) -> tuple[Tensor, ...]:
    """
    Return *param*, *total* and *gradients* after one step along the average gradient.

    ::

        total        = total - gradients[i] + grad
        gradients[i] = grad
        param        = param - lr * total / seen

    Args:
        param: any shape and float dtype.
        grad: same shape and dtype as *param*.
        total: sum of all *gradients*; zeros before the first step.
        gradients: the last gradient of each batch; zeros before the first step.
        lr: learning rate.
        seen: number of batches seen so far: min(t, batch_num).
        is_now: the numbers ``now0``, ``now1``, ..., one per batch: 1 for the current batch (i
            above), 0 for each other batch.

    References:
        Schmidt, Le Roux and Bach, Minimizing Finite Sums with the Stochastic Average Gradient,
        2017, Algorithm 1. https://arxiv.org/abs/1309.2388
        paddle.optimizer.ASGD.
    """
    stored = list(gradients)
    # A rule can test only whether a number is 0, so batch_num programs are traced, one per batch.
    for i, old in enumerate(gradients):
        if is_now[f"now{i}"]:
            total = total - old + grad
            stored[i] = grad
    return torch.add(param, total, alpha=-lr / seen), total, *stored


def _gradients(numbers: Numbers, flags: Flags) -> dict[str, float]:
    return {"total": 0.0, **{f"gradient{i}": 0.0 for i in range(int(numbers["batch_num"]))}}


def _turn(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
    num = int(numbers["batch_num"])
    turns = {f"now{i}": float(i == (t - 1) % num) for i in range(num)}
    return {"seen": float(min(t, num)), **turns}


SAG = Rule("sag", sag, slots=_gradients, scalars=_turn)
