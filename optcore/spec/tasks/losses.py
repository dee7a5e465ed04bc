"""
Losses: what a run minimizes.

Losses that compare numbers (mse, l1, huber, bce) compare the network's outputs with the numbers or
labels of the target; if the target is a class, with 1 for that class and 0 for the others. Each
loss is a mean over examples, so that a batch twice as large does not require another lr.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Spec, by_kind
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target, Task

MAX_CLASSES = 100_000
"""Largest number of class weights."""


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


class ClassLoss(LossSpec):
    """The base of losses for one class among K, or one token at each position."""

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "language_model"})

    # Not dumped by default: a spec of 0.2.0 keeps its JSON and digest.
    class_weights: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=1, max_length=MAX_CLASSES, exclude_if=lambda weights: weights is None
    )
    """A weight w for each class: the loss of a batch is sum(w_y * loss) / sum(w_y). null: all
    weights are 1."""
    ignore_index: int | None = Field(None, ge=-(2**31), lt=2**31, exclude_if=lambda i: i is None)
    """Target that has no loss and is not counted, such as -100 or the class to leave out; null for
    none."""

    @property
    def weighted(self) -> bool:
        """Whether examples may have different weights in the mean."""
        return self.class_weights is not None or self.ignore_index is not None


class CrossEntropy(ClassLoss):
    """
    The usual loss for classification, from logits x; y is the right class among K classes.

    ::

        loss = -sum_k q_k * log(softmax(x)_k)                           k: each class
        q_k  = (1 - label_smoothing) * [k = y] + label_smoothing / K    [k = y]: 1 if k is y, else 0

    References:
        torch.nn.CrossEntropyLoss; Szegedy et al., Rethinking the Inception Architecture for
        Computer Vision, 2016, section 7 (label smoothing). https://arxiv.org/abs/1512.00567
    """

    kind: Literal["cross_entropy"]
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is distributed over all classes."""


class NumberLoss(LossSpec):
    """The base of losses that compare outputs with numbers."""

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "regression"})


class MeanSquaredError(NumberLoss):
    """
    Mean of the squared differences between the outputs x and the numbers y.

    ::

        loss = mean_k (x_k - y_k)^2

    If the target is a class c, y_k is [k = c].

    References:
        torch.nn.MSELoss; paddle.nn.MSELoss; mindspore.nn.MSELoss.
    """

    kind: Literal["mse"]


class MeanAbsoluteError(NumberLoss):
    """
    Mean of the absolute differences between the outputs x and the numbers y.

    ::

        loss = mean_k |x_k - y_k|

    If the target is a class c, y_k is [k = c].

    References:
        torch.nn.L1Loss; paddle.nn.L1Loss; mindspore.nn.L1Loss.
    """

    kind: Literal["l1"]


class Huber(NumberLoss):
    """
    Mean of a loss that is quadratic near the target y and linear far from it.

    ::

        d    = x_k - y_k                               ([k = c] for y_k if the target is a class c)
        loss = mean_k  0.5 * d^2                      where |d| <= delta
                       delta * (|d| - 0.5 * delta)    elsewhere

    References:
        Huber, Robust Estimation of a Location Parameter, 1964; torch.nn.HuberLoss.
    """

    kind: Literal["huber"]
    delta: float = Field(1.0, gt=0)
    """Distance from the target beyond which the loss is linear."""


class BinaryCrossEntropy(LossSpec):
    """
    Mean over labels of the binary cross-entropy of each label by itself, from logits x.

    ::

        loss = mean_k -( y_k * log(sigmoid(x_k)) + (1 - y_k) * log(1 - sigmoid(x_k)) )

    y_k is 1 for the labels that the example has, and 0 for the others. If the target is a class c,
    y_k is [k = c].

    References:
        torch.nn.BCEWithLogitsLoss.
    """

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "multi_label"})

    kind: Literal["bce"]


class NegativeLogLikelihood(ClassLoss):
    """
    Negative log-likelihood; outputs x are log-probabilities, so the network ends with log_softmax.

    ::

        loss = -x_y    y: the right class

    References:
        torch.nn.NLLLoss.
    """

    TAKES_LOGARITHMS: ClassVar[bool] = True

    kind: Literal["nll"]


class Ctc(LossSpec):
    """
    Connectionist temporal classification, as text recognition uses it.

    The network ends with a map of height 1 and one channel more than there are classes: each
    column is a time step, channel 0 is the blank, and channel k + 1 is class k. The target is the
    sequence of the example's classes; one class is a sequence of one. The loss is the mean over
    examples, each of which counts the same, however long its target is.

    References:
        Graves et al., Connectionist Temporal Classification, 2006. torch.nn.CTCLoss,
        paddle.nn.CTCLoss.
    """

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "sequence"})
    TAKES: ClassVar[str] = (
        "a map of height 1, at least 2 n - 1 wide for targets of up to n classes, with one channel "
        "per class and one for the blank"
    )
    OF_SEQUENCES: ClassVar[bool] = True

    kind: Literal["ctc"]

    def takes(self, shape: Shape, target: Target) -> bool:
        """Return whether *shape* is (classes + 1, 1, steps), with enough steps for any target."""
        # A blank must stand between two equal classes.
        return shape[:-1] == (target.size + 1, 1) and shape[-1] >= 2 * target.longest - 1


AnyLoss = Annotated[
    CrossEntropy
    | MeanSquaredError
    | MeanAbsoluteError
    | Huber
    | BinaryCrossEntropy
    | NegativeLogLikelihood
    | Ctc,
    Field(discriminator="kind"),
]
"""Any loss, selected by `kind`."""

LOSSES = by_kind(AnyLoss, LossSpec)
"""Maps the name of each loss to its class."""
