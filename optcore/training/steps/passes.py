"""What a step is made of: the loss of a batch, its gradient, and whether it may be used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from optcore.training.reports import Diverged
from optcore.training.run import Run

NOT_HELD = "without overflow"
"""In the text of torch's error about a scalar."""


def acceptable(run: Run, loss: float) -> bool:
    """Return whether an update may be made from *loss*."""
    limit = run.spec.training.loss_limit
    return math.isfinite(loss) and (limit is None or loss <= limit)


def loss_scale(run: Run) -> float:
    """Return what the loss of this step is multiplied by."""
    return run.spec.optimizer.loss_scale if run.scaler is None else run.scaler.scale


def examples(run: Run) -> int:
    """Return how many examples the present step has, those of batches already seen included."""
    batch = run.spec.dataset.batch_size
    seen = run.micro * batch  # only the last batch of a pass is shorter, and it ends a step
    left = len(run.dataset.train) - (run.batches.position - seen)
    return min(left or len(run.dataset.train), run.spec.examples_per_step)


def loss_of(run: Run, images: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of a batch, computed in float32 at least."""
    with run.autocast:
        return run.loss(run.model(images), labels)


def backward(run: Run, loss: Tensor) -> None:
    """Add the gradient of *loss*, scaled, to those of the parameters."""
    scale = loss_scale(run)
    (loss if scale == 1 else loss * scale).backward()


@contextmanager
def overflow_told(run: Run) -> Iterator[None]:
    """
    Raise `Diverged` where an update overflows before it is one.

    Most do in a tensor, and the next loss shows it. But some numbers are computed in Python, and
    torch refuses a scalar that its tensors cannot hold.
    """
    try:
        yield
    except (ArithmeticError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and NOT_HELD not in str(error):
            raise
        what = f"the update must be made of numbers that its tensors can hold, got: {error}"
        raise Diverged(what, run.row) from None
