"""
Losses: what a run minimizes.

Labels are classes. Losses that compare numbers (mse, l1, huber, bce) compare the network's outputs
with a 1 for the right class and a 0 for the others. Each is a mean, so that a batch twice as large
needs no other lr.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Spec, by_kind
from optcore.spec.networks.base import Shape


class LossSpec(Spec):
    """The base of all losses: which outputs of a network they take."""

    TAKES: ClassVar[str] = "one feature per class"
    """The outputs, for messages."""
    TAKES_LOGARITHMS: ClassVar[bool] = False
    """Whether the outputs must be logarithms of probabilities."""
    OF_SEQUENCES: ClassVar[bool] = False
    """Whether an output is a sequence of classes, not one class."""

    kind: str
    """Which loss."""

    def takes(self, shape: Shape, num_classes: int) -> bool:
        """Return whether outputs of *shape*, for one example, can be compared with a class."""
        return shape == (num_classes,)


class CrossEntropy(LossSpec):
    """
    The usual loss of classes: outputs are logits x, y is the right one of K classes.

    ::

        loss = -sum_k q_k * log(softmax(x)_k)
        q_k  = (1 - label_smoothing) * [k = y] + label_smoothing / K

    References:
        torch.nn.CrossEntropyLoss; Szegedy et al., Rethinking the Inception Architecture for
        Computer Vision, 2016, section 7 (label smoothing). https://arxiv.org/abs/1512.00567
    """

    kind: Literal["cross_entropy"]
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that is distributed over all classes."""


class MeanSquaredError(LossSpec):
    """
    Outputs x against a 1 for the right class, 0 for the others; mean over classes.

    ::

        loss = mean_k (x_k - [k = y])^2

    References:
        torch.nn.MSELoss; paddle.nn.MSELoss; mindspore.nn.MSELoss.
    """

    kind: Literal["mse"]


class MeanAbsoluteError(LossSpec):
    """
    Outputs x against a 1 for the right class, 0 for the others; mean over classes.

    ::

        loss = mean_k |x_k - [k = y]|

    References:
        torch.nn.L1Loss; paddle.nn.L1Loss; mindspore.nn.L1Loss.
    """

    kind: Literal["l1"]


class Huber(LossSpec):
    """
    Squares near the target, absolute values far from it; d = x_k - [k = y], mean over classes.

    ::

        loss = mean_k  0.5 * d^2                      where |d| <= delta
                       delta * (|d| - 0.5 * delta)    elsewhere

    References:
        Huber, Robust Estimation of a Location Parameter, 1964; torch.nn.HuberLoss.
    """

    kind: Literal["huber"]
    delta: float = Field(1.0, gt=0)
    """Distance from which the loss is linear."""


class BinaryCrossEntropy(LossSpec):
    """
    Each class by itself, from logits x; mean over classes.

    ::

        loss = mean_k -( [k = y] * log(sigmoid(x_k)) + [k != y] * log(1 - sigmoid(x_k)) )

    References:
        torch.nn.BCEWithLogitsLoss.
    """

    kind: Literal["bce"]


class NegativeLogLikelihood(LossSpec):
    """
    Outputs x are logarithms of probabilities: the network ends with log_softmax.

    ::

        loss = -x_y

    References:
        torch.nn.NLLLoss.
    """

    TAKES_LOGARITHMS: ClassVar[bool] = True

    kind: Literal["nll"]


class Ctc(LossSpec):
    """
    Connectionist temporal classification, as text recognition uses it.

    The network ends with a map of height 1 and one channel more than there are classes: each
    column is a step in time, channel 0 the blank, channel k + 1 class k. The target is the
    sequence of the example's classes, here of one class. The loss is the mean over examples; an
    example counts as right if its best path, without repetitions and blanks, is its target.

    References:
        Graves et al., Connectionist Temporal Classification, 2006. torch.nn.CTCLoss,
        paddle.nn.CTCLoss.
    """

    TAKES: ClassVar[str] = "a map of height 1 with one channel per class and one for the blank"
    OF_SEQUENCES: ClassVar[bool] = True

    kind: Literal["ctc"]

    def takes(self, shape: Shape, num_classes: int) -> bool:
        """Return whether *shape* is (classes + 1, 1, steps)."""
        return shape[:-1] == (num_classes + 1, 1)


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
"""One of the losses, told apart by `kind`."""

LOSSES = by_kind(AnyLoss, LossSpec)
"""Every loss by its name."""
