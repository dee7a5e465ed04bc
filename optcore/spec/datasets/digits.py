"""The digits that scikit-learn ships."""

from __future__ import annotations

from typing import Literal

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target

TRAIN_DIGITS, TEST_DIGITS = 1_500, 297
TARGET = Target("classification", 10)


class Digits(DatasetSpec):
    """
    Handwritten digits of 8x8 grey pixels in 0..1, which come with scikit-learn: no download.

    The first 1,500 images are training examples. The last 297 images, which were written by other
    people, are test examples.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998.
        https://doi.org/10.24432/C50P49
    """

    kind: Literal["digits"]

    @property
    def all_train_examples(self) -> int:
        """Number of training examples: 1,500."""
        return TRAIN_DIGITS

    @property
    def test_examples(self) -> int:
        """Number of test examples: 297."""
        return TEST_DIGITS

    @property
    def shape(self) -> Shape:
        """Shape of one example: (1, 8, 8)."""
        return (1, 8, 8)

    @property
    def target(self) -> Target:
        """One of 10 classes, the digits."""
        return TARGET
