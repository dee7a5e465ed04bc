"""The base of all losses."""

from __future__ import annotations

from typing import ClassVar

from optcore.spec.base import Spec
from optcore.spec.layers.base import SEQUENCE, VECTOR, TensorSpec
from optcore.spec.tasks.tasks import Target, Task


class LossSpec(Spec):
    """The base of all losses, which declares the tasks and outputs that a loss is for."""

    TASKS: ClassVar[frozenset[Task]]
    """Tasks of the datasets that the loss is for."""
    TAKES: ClassVar[str] = "one feature per class, label or number of the target"
    """Description of the outputs that the loss accepts, for error messages."""
    TAKES_LOGARITHMS: ClassVar[bool] = False
    """Whether the outputs must be logarithms of probabilities."""
    COMPUTES: ClassVar[str | None] = None
    """Layer that the loss computes itself, from outputs that are logits; None if they are none."""
    OF_SEQUENCES: ClassVar[bool] = False
    """Whether an output is a sequence of classes, not one class."""

    kind: str
    """Name of the loss."""

    def takes(self, output: TensorSpec, target: Target) -> bool:
        """Return whether the loss accepts outputs like *output* (of one example) for *target*."""
        if target.task == "language_model":
            return output == TensorSpec((target.longest, target.size), SEQUENCE)
        return output == TensorSpec((target.size,), VECTOR)

    def needed(self, target: Target) -> str:
        """Return the description of the outputs that the loss accepts for *target*."""
        if target.task == "language_model":
            sequence = TensorSpec((target.longest, target.size), SEQUENCE)
            return f"{sequence}, one feature per token at each position"
        return self.TAKES

    @property
    def weighted(self) -> bool:
        """Whether examples may have different weights in the mean."""
        return False


class InstalledLoss(LossSpec):
    """
    The base of losses from installed packages (entry points of the group ``optserve.losses``).

    `docs/extending.md` shows a whole package.
    """

    CODE: ClassVar[str]
    """
    The function that makes the loss function, as ``module:function``.

    ``function(loss, target)`` gets the spec and the targets of the dataset. It returns
    ``function(outputs, targets)``, which returns the mean of the losses of the examples in a batch,
    a scalar. *outputs* are float32 or wider.
    """
