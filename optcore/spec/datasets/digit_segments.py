"""Handwritten digits, with the segments of a display as labels."""

from __future__ import annotations

from typing import Literal

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.datasets.digits import TEST_DIGITS, TRAIN_DIGITS
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target

SEGMENTS = (
    *("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"),
)
"""The segments of a seven-segment display that show each digit, by their usual letters."""


class DigitSegments(DatasetSpec):
    """
    Handwritten digits; the labels are the segments of a seven-segment display that show the digit.

    A small dataset for networks that predict several labels. The images are those of the dataset
    digits and come with scikit-learn: no download.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998 (the images).
        https://doi.org/10.24432/C50P49
    """

    kind: Literal["digit_segments"]

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
        """Any of 7 labels, the segments a to g."""
        return Target("multi_label", 7)
