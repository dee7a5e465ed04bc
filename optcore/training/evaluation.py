"""Loss and accuracy on held-out examples."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from optcore.data.examples import Examples, pixels
from optcore.training.reports import Evaluation

BATCH_SIZE = 1000
"""Examples at a time: large enough to be fast, small enough for any card."""


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples, *, step: int, dtype: torch.dtype) -> Evaluation:
    """
    Return what *model* makes of *examples*.

    The model is put into evaluation mode and back; nothing random happens.

    Args:
        model: from images (batch, channels, height, width) to logits (batch, classes).
        examples: not empty.
        step: updates applied so far.
        dtype: of the model's parameters.
    """
    was_training = model.training
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=examples.labels.device)
    right = torch.zeros((), dtype=torch.int64, device=examples.labels.device)
    for images, labels in zip(
        examples.images.split(BATCH_SIZE), examples.labels.split(BATCH_SIZE), strict=True
    ):
        logits = model(pixels(images, dtype))
        loss += functional.cross_entropy(logits, labels, reduction="sum")
        right += (logits.argmax(1) == labels).sum()
    model.train(was_training)
    n = len(examples)
    return Evaluation(step=step, loss=loss.item() / n, accuracy=right.item() / n, examples=n)
