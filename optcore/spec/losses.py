"""
Losses: what a run minimizes.

Labels are classes. Losses that compare numbers (mse, l1, huber, bce) compare the network's outputs
with 1 for the right class and 0 for the others. Each loss is a mean over examples, so that a batch
twice as large does not require another lr.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from optcore.spec.base import Spec, by_kind
from optcore.spec.networks.base import Shape


class LossSpec(Spec):
    """The base of all losses. A loss declares which outputs of a network it accepts."""

    TAKES: ClassVar[str] = "one feature per class"
    """Description of the outputs that the loss accepts, for error messages."""
    TAKES_LOGARITHMS: ClassVar[bool] = False
    """Whether the outputs must be logarithms of probabilities."""
    OF_SEQUENCES: ClassVar[bool] = False
    """Whether an output is a sequence of classes, not one class."""

    kind: str
    """Name of the loss."""

    def takes(self, shape: Shape, num_classes: int) -> bool:
        """Return whether the loss accepts *shape*, the shape of the output for one example."""
        return shape == (num_classes,)


class CrossEntropy(LossSpec):
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


class MeanSquaredError(LossSpec):
    """
    Mean over classes of the squared difference between output x and 1 (right class) or 0 (others).

    ::

        loss = mean_k (x_k - [k = y])^2        [k = y]: 1 for the right class y, 0 for the others

    References:
        torch.nn.MSELoss; paddle.nn.MSELoss; mindspore.nn.MSELoss.
    """

    kind: Literal["mse"]


class MeanAbsoluteError(LossSpec):
    """
    Mean over classes of the absolute difference between output x and 1 (right class) or 0 (others).

    ::

        loss = mean_k |x_k - [k = y]|          [k = y]: 1 for the right class y, 0 for the others

    References:
        torch.nn.L1Loss; paddle.nn.L1Loss; mindspore.nn.L1Loss.
    """

    kind: Literal["l1"]


class Huber(LossSpec):
    """
    Mean over classes of a loss that is quadratic near the target and linear far from it.

    ::

        d    = x_k - [k = y]           [k = y]: 1 for the right class y, 0 for the others
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
    Mean over classes of the binary cross-entropy of each class by itself, from logits x.

    ::

        loss = mean_k -log(sigmoid(x_k))        if k is the right class
                      -log(1 - sigmoid(x_k))    for every other class k

    References:
        torch.nn.BCEWithLogitsLoss.
    """

    kind: Literal["bce"]


class NegativeLogLikelihood(LossSpec):
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
    sequence of the example's classes, here a sequence of one class. The loss is the mean over
    examples. An example counts as correct if its best path, without repetitions and blanks, equals
    its target.

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
"""Any loss, selected by `kind`."""

LOSSES = by_kind(AnyLoss, LossSpec)
"""Maps the name of each loss to its class."""
