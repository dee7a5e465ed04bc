"""Loss and accuracy on held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn import functional

from optcore.data.examples import Examples, pixels
from optcore.training.reports import Evaluation, Progress

BATCH_SIZE = 1000
"""Examples at a time: large enough to be fast, small enough for any card."""


def evaluate(
    model: nn.Module,
    examples: Examples,
    *,
    step: int,
    dtype: torch.dtype,
    averaged: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[Evaluation | Progress]:
    """
    Look at what *model* makes of *examples*; the last report is the result.

    The model is in evaluation mode meanwhile; nothing random happens.

    Args:
        model: from images (batch, channels, height, width) to logits (batch, classes).
        examples: not empty.
        step: updates applied so far.
        dtype: of the model's parameters.
        averaged: puts the parameters to look at in place, while a batch is computed.

    Yields:
        a sign of life per batch, then the evaluation.
    """
    was_training = model.training
    loss = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    right = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    for images, labels in zip(
        examples.images.split(BATCH_SIZE), examples.labels.split(BATCH_SIZE), strict=True
    ):
        model.eval()
        with torch.no_grad(), averaged():
            logits = model(pixels(images, dtype))
            loss += functional.cross_entropy(logits, labels, reduction="sum")
            right += (logits.argmax(1) == labels).sum()
        model.train(was_training)
        yield Progress(step)
    n = len(examples)
    yield Evaluation(step=step, loss=loss.item() / n, accuracy=right.item() / n, examples=n)
