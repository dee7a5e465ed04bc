"""
Losses: what a run minimizes.

The losses mse, l1, huber and bce compare the network's outputs with the numbers or labels of the
target. If the target is a class, the outputs are compared with 1 for that class and with 0 for all
other classes.

Each loss is a mean over examples, so that a batch twice as large does not require another lr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from optcore.packages.kinds import by_kind, with_installed
from optcore.spec.layers.base import IMAGE, SEQUENCE, TensorSpec
from optcore.spec.tasks.base import InstalledLoss, LossSpec
from optcore.spec.tasks.tasks import Target, Task

MAX_CLASSES = 100_000
"""Largest number of class weights."""


class ClassLoss(LossSpec):
    """The base of losses for one class among K, or one token at each position."""

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "language_model"})

    # Not dumped by default: a spec of 0.2.0 keeps its JSON and digest.
    class_weights: list[Annotated[float, Field(ge=0)]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_CLASSES,
        fail_fast=True,
        exclude_if=lambda weights: weights is None,
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
    The usual loss for classification: cross-entropy.

    x are the logits of the K classes, and y is the right class. k is each class in turn, and
    [k = y] is 1 if k is y, else 0::

        loss = -sum_k q_k * log(softmax(x)_k)
        q_k  = (1 - label_smoothing) * [k = y] + label_smoothing / K

    References:
        torch.nn.CrossEntropyLoss; Szegedy et al., Rethinking the Inception Architecture for
        Computer Vision, 2016, section 7 (label smoothing). https://arxiv.org/abs/1512.00567
    """

    COMPUTES: ClassVar[str | None] = "log_softmax"

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

    If the target is a class c, y_k is 1 for k = c and 0 for every other k.

    References:
        torch.nn.MSELoss; paddle.nn.MSELoss; mindspore.nn.MSELoss.
    """

    kind: Literal["mse"]


class MeanAbsoluteError(NumberLoss):
    """
    Mean of the absolute differences between the outputs x and the numbers y.

    ::

        loss = mean_k |x_k - y_k|

    If the target is a class c, y_k is 1 for k = c and 0 for every other k.

    References:
        torch.nn.L1Loss; paddle.nn.L1Loss; mindspore.nn.L1Loss.
    """

    kind: Literal["l1"]


class Huber(NumberLoss):
    """
    Mean of a loss that is quadratic near the target y and linear far from it.

    ::

        d    = x_k - y_k
        loss = mean_k  0.5 * d^2                      where |d| <= delta
                       delta * (|d| - 0.5 * delta)    where |d| > delta

    x are the outputs. If the target is a class c, y_k is 1 for k = c and 0 for every other k.

    References:
        Huber, Robust Estimation of a Location Parameter, 1964; torch.nn.HuberLoss.
    """

    kind: Literal["huber"]
    delta: float = Field(1.0, gt=0)
    """Distance from the target beyond which the loss is linear."""


class BinaryCrossEntropy(LossSpec):
    """
    Mean of the binary cross-entropies of all labels, each computed by itself from its logit x_k.

    ::

        loss = mean_k -( y_k * log(sigmoid(x_k)) + (1 - y_k) * log(1 - sigmoid(x_k)) )

    y_k is 1 for the labels k that the example has, and 0 for all other labels. If the target is a
    class c, y_k is 1 for k = c and 0 for every other k.

    References:
        torch.nn.BCEWithLogitsLoss.
    """

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "multi_label"})

    COMPUTES: ClassVar[str | None] = "sigmoid"

    kind: Literal["bce"]


class NegativeLogLikelihood(ClassLoss):
    """
    Negative log-likelihood of the right class y.

    ::

        loss = -x_y

    The outputs x must be log-probabilities, so the network must end with log_softmax.

    References:
        torch.nn.NLLLoss.
    """

    TAKES_LOGARITHMS: ClassVar[bool] = True

    kind: Literal["nll"]


class Ctc(LossSpec):
    """
    Connectionist temporal classification, as text recognition uses it.

    The network must return a sequence of vectors, or a map of height 1. Each position of the
    sequence, or column of the map, is a time step. The number of features (or channels) must be the
    number of classes plus 1: number 0 is the blank, and number k + 1 is class k.

    The target is the sequence of the example's classes; a single class is a sequence of length 1.
    The loss is the mean over examples. All have the same weight, whatever the length of their
    target.

    References:
        Graves et al., Connectionist Temporal Classification, 2006. torch.nn.CTCLoss,
        paddle.nn.CTCLoss.
    """

    TASKS: ClassVar[frozenset[Task]] = frozenset({"classification", "sequence"})
    TAKES: ClassVar[str] = (
        "a map of height 1, or a sequence, at least 2 n - 1 wide or long for targets of up to n "
        "classes, with one channel or feature per class and one for the blank"
    )
    COMPUTES: ClassVar[str | None] = "log_softmax"
    OF_SEQUENCES: ClassVar[bool] = True

    kind: Literal["ctc"]

    def takes(self, output: TensorSpec, target: Target) -> bool:
        """
        Return whether *output* is a map (classes + 1, 1, steps) or a sequence (steps, classes + 1).

        There must be enough steps for any target.
        """
        steps, classes = output.positions, target.size + 1
        # A blank must stand between two equal classes.
        return steps >= 2 * target.longest - 1 and output in (
            TensorSpec((classes, 1, steps), IMAGE),
            TensorSpec((steps, classes), SEQUENCE),
        )


class ObjectiveValue(LossSpec):
    """
    The value of the function f that the dataset describes, at the point x, with its noise.

    ::

        loss = f(x) + noise . (x - minimum)

    The gradient is that of f plus the noise of the example. The mean over a batch of n examples has
    noise with 1/sqrt(n) of the standard deviation. Evaluations have no noise: their loss is f(x).
    """

    TASKS: ClassVar[frozenset[Task]] = frozenset({"minimization"})
    TAKES: ClassVar[str] = "one feature per dimension of the function"

    kind: Literal["objective"]


AnyLoss = Annotated[
    CrossEntropy
    | MeanSquaredError
    | MeanAbsoluteError
    | Huber
    | BinaryCrossEntropy
    | NegativeLogLikelihood
    | Ctc
    | ObjectiveValue
    | InstalledLoss,
    Field(discriminator="kind"),
]
"""Any loss, selected by `kind`; installed packages may add some."""
if not TYPE_CHECKING:
    AnyLoss = with_installed(AnyLoss, "optserve.losses", InstalledLoss, ["CODE", "TASKS"])

LOSSES = by_kind(AnyLoss, LossSpec)
"""Maps the name of each loss to its class."""
