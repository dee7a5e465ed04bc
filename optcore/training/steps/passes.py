"""The parts of a step: the loss of a batch, its gradient, and whether an update may use it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from optcore.training.reports import Diverged
from optcore.training.run import Run

NOT_REPRESENTABLE = "without overflow"
"""Part of the message with which torch refuses a scalar that does not fit a dtype."""


def acceptable(run: Run, loss: float) -> bool:
    """Return whether *loss* is finite and within the limit, so that an update may be made."""
    limit = run.spec.training.loss_limit
    return math.isfinite(loss) and (limit is None or loss <= limit)


def loss_scale(run: Run) -> float:
    """Return the factor that the loss of the current step is multiplied by."""
    return 1.0 if run.scaler is None else run.scaler.scale


def examples(run: Run) -> int:
    """Return the number of examples in the current step, with those of batches still to come."""
    batch = run.spec.dataset.batch_size
    seen = run.micro * batch  # only the last batch of a pass is shorter, and it ends a step
    left = len(run.dataset.train) - (run.batches.position - seen)
    return min(left or len(run.dataset.train), run.spec.examples_per_step)


def loss_of(run: Run, inputs: Tensor, targets: Tensor, *, micro: int) -> Tensor:
    """
    Return the mean loss of a batch, computed in float32 or wider.

    Args:
        run: the run. The random numbers that its layers draw depend on the number of steps so far,
            which includes the steps of the runs that this run continues.
        inputs: the inputs of the batch.
        targets: the targets of the batch.
        micro: the number of earlier batches in this step.
    """
    # By row, not by t: the step after a skipped one has another batch, and other masks.
    run.draws.begin(run.rows_before + run.row, micro)
    with run.autocast:
        return run.loss(run.forward(inputs), targets)


def backward(run: Run, loss: Tensor) -> None:
    """Add the gradient of the scaled *loss* to the gradients of the parameters."""
    # The loss is float32 or wider: in float16 a scaled loss would be infinite from 65,520 on.
    scale = loss_scale(run)
    (loss if scale == 1 else loss * scale).backward()


@contextmanager
def overflow_as_divergence(run: Run) -> Iterator[None]:
    """
    Raise `Diverged` in place of an error about an overflow in the ``with`` block.

    Some numbers of an update are computed in Python. If such a number does not fit the dtype,
    Python or torch raises an error.

    An overflow in a tensor raises no error, but makes the next loss infinite or NaN.
    """
    try:
        yield
    except (ArithmeticError, RuntimeError) as error:
        # torch has no class for this error, so its message is checked.
        if isinstance(error, RuntimeError) and NOT_REPRESENTABLE not in str(error):
            raise
        what = f"numbers in the update must fit the dtype of its tensors, got: {error}"
        raise Diverged(what, run.row) from None
