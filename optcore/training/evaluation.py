"""Evaluation on the held-out examples."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor

from optcore.data.examples import pixels
from optcore.training.losses import right
from optcore.training.reports import Evaluation, Progress
from optcore.training.run import Run
from optcore.training.statistics import recompute_statistics

BATCH_SIZE = 1000
"""Number of examples per batch: large enough to be fast, small enough for any GPU."""


def evaluate(run: Run) -> Generator[Progress, None, Evaluation]:
    """
    Evaluate the network of *run* on the held-out examples, in evaluation mode.

    The network is evaluated with the trained weights, and again with the averaged weights if the
    run has them. Nothing is drawn from a random generator.

    Yields:
        the progress, once per batch.

    Returns:
        the metrics with the trained weights, and those with the averaged weights if there are any.
    """
    found = yield from _evaluate(run, run.optimizer.averaged)
    if run.ema is None:
        return found
    if run.ema.recomputes:
        yield from recompute_statistics(run)
    of_ema = yield from _evaluate(run, run.ema.in_place)
    return replace(found, ema_loss=of_ema.loss, ema_accuracy=of_ema.accuracy)


def _evaluate(
    run: Run, weights: Callable[[], AbstractContextManager[None]]
) -> Generator[Progress, None, Evaluation]:
    """Evaluate with the weights that the context *weights* puts in place during each batch."""
    scores, examples = _Scores(run), run.dataset.test
    for images, labels in zip(
        examples.images.split(BATCH_SIZE), examples.labels.split(BATCH_SIZE), strict=True
    ):
        run.model.eval()
        # autocast is entered last: it caches its casts of the weights until it is left, even if
        # the weights are replaced meanwhile.
        with torch.no_grad(), weights(), run.autocast:
            scores.add(run.forward(pixels(images, run.dtype)), labels)
        # A caller that stops here may save the run: the trained weights must be back.
        run.model.train()
        yield Progress(run.row)
    return scores.evaluation()


class _Scores:
    """Adds up the scores of batches, on the run's device."""

    def __init__(self, run: Run) -> None:
        self._run, self._training = run, run.spec.training
        self._classes = run.spec.dataset.num_classes
        self._loss = torch.zeros((), dtype=torch.float64, device=run.device)
        self._right = torch.zeros((), dtype=torch.int64, device=run.device)
        self._among_k = torch.zeros((), dtype=torch.int64, device=run.device)
        self._confusion = torch.zeros(self._classes**2, dtype=torch.int64, device=run.device)
        self._examples = 0

    def add(self, outputs: Tensor, labels: Tensor) -> None:
        """Add the scores of a batch, from its *outputs* and *labels*."""
        # Weighted by examples, since the last batch may be shorter, and summed in double.
        self._loss += self._run.loss(outputs, labels).double() * len(labels)
        self._right += right(self._training.loss, outputs, labels).sum()
        self._examples += len(labels)
        if self._training.top_k is not None:
            likeliest = outputs.topk(self._training.top_k).indices
            self._among_k += (likeliest == labels.unsqueeze(1)).sum()
        if self._training.confusion:
            pairs = labels * self._classes + outputs.argmax(1)
            self._confusion += torch.bincount(pairs, minlength=self._classes**2)

    def evaluation(self) -> Evaluation:
        """Return the metrics over all examples added so far."""
        n, confusion = self._examples, self._confusion.view(self._classes, -1).tolist()
        return Evaluation(
            step=self._run.row,
            loss=self._loss.item() / n,
            accuracy=self._right.item() / n,
            examples=n,
            top_k=None if self._training.top_k is None else self._among_k.item() / n,
            confusion=tuple(map(tuple, confusion)) if self._training.confusion else None,
        )
