"""The base of all losses."""

from __future__ import annotations

from typing import ClassVar

from optcore.spec.base import Spec
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target, Task


class LossSpec(Spec):
    """The base of all losses, which declares the tasks and outputs that a loss is for."""

    TASKS: ClassVar[frozenset[Task]]
    """Tasks of the datasets that the loss is for."""
    TAKES: ClassVar[str] = "one feature per class, label or number of the target"
    """Description of the outputs that the loss accepts, for error messages."""
    TAKES_LOGARITHMS: ClassVar[bool] = False
    """Whether the outputs must be logarithms of probabilities."""
    OF_SEQUENCES: ClassVar[bool] = False
    """Whether an output is a sequence of classes, not one class."""

    kind: str
    """Name of the loss."""

    def takes(self, shape: Shape, target: Target) -> bool:
        """Return whether the loss accepts outputs of *shape* (for one example) for *target*."""
        if target.task == "language_model":
            return shape == (target.longest, target.size)
        return shape == (target.size,)

    @property
    def weighted(self) -> bool:
        """Whether examples may have different weights in the mean."""
        return False


class InstalledLoss(LossSpec):
    """
    The base of losses from installed packages (entry points of the group ``optserve.losses``).

    `docs/extending.md` has a whole package.
    """

    CODE: ClassVar[str]
    """
    The function that makes the loss function, as ``module:function``.

    ``function(loss, target)`` gets the spec and the targets of the dataset. It returns
    ``function(outputs, targets)``, which returns the mean of the losses of the examples in a batch,
    a scalar. *outputs* are float32 or wider.
    """
