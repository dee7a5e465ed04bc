"""Lines of handwritten digits, to be read as text."""

from __future__ import annotations

from typing import ClassVar, Literal

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target

LONGEST = 5
"""Largest number of digits in a line."""
SIDE = 8
"""Height and width of a digit, in pixels."""


class DigitLines(DatasetSpec):
    """
    Lines of 1 to 5 handwritten digits; the target is the sequence of their classes.

    A small dataset for networks that read text and are trained with the loss ctc. A line consists
    of images of the dataset digits, side by side; the right end of a short line is black. The
    images come with scikit-learn: no download.

    The lines are the same in every run. 3,000 training lines are made of the first 1,200 digits,
    500 validation lines of the next 300 digits, and 500 test lines of the 297 test digits. If the
    field *validation* is set, some of the training lines become the validation lines instead, and
    share digits with the remaining training lines.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998 (the images).
        https://doi.org/10.24432/C50P49
    """

    MADE_OF: ClassVar[str] = "digits"

    kind: Literal["digit_lines"]

    @property
    def all_train_examples(self) -> int:
        """Number of training examples: 3,000."""
        return 3_000

    @property
    def own_validation_examples(self) -> int:
        """Number of validation examples: 500."""
        return 500

    @property
    def test_examples(self) -> int:
        """Number of test examples: 500."""
        return 500

    @property
    def shape(self) -> Shape:
        """Shape of one example: (1, 8, 40)."""
        return (1, SIDE, SIDE * LONGEST)

    @property
    def target(self) -> Target:
        """A sequence of 1 to 5 digits; each digit is one of 10 classes."""
        return Target("sequence", 10, LONGEST)
