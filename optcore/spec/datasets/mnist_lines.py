"""Images of several digits of MNIST in a line, to be read, or to be checked for a half-turn."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.datasets.mnist import Mnist
from optcore.spec.errors import reject
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target

MAX_LINES = 200_000
"""Largest number of lines of a split."""
MAX_DIGITS = 32
"""Largest number of digits in a line."""
MAX_PIXELS = 2**29
"""Largest number of pixels of all lines together; each takes a byte."""


class MnistLinesSpec(DatasetSpec):
    """The base of the datasets that are made of lines of MNIST's digits."""

    FOLDER: ClassVar[str | None] = "mnist"
    MADE_OF: ClassVar[str] = "mnist"
    VALIDATION_IS_APART: ClassVar[bool] = True

    train_lines: int = Field(10_000, ge=1, le=MAX_LINES)
    """Number of lines for training, made of the first 50,000 training digits of MNIST."""
    validation_lines: int = Field(0, ge=0, le=MAX_LINES)
    """Number of lines for validation, made of the last 10,000 training digits of MNIST; 0 for
    none."""
    test_lines: int = Field(1_000, ge=1, le=MAX_LINES)
    """Number of lines for test, made of the 10,000 test digits of MNIST."""
    min_digits: int = Field(3, ge=1, le=MAX_DIGITS)
    """Smallest number of digits in a line."""
    max_digits: int = Field(8, ge=2, le=MAX_DIGITS)
    """Largest number of digits in a line."""
    digit_size: Literal[10, 20] = Field(20, json_schema_extra={"unit": "pixels"})
    """Height and width of the square that a digit fits in: 20 as in MNIST, without the margins
    there; 10 for half of it, where each pixel is the mean of four."""
    max_gap: int = Field(4, ge=1, le=64, json_schema_extra={"unit": "pixels"})
    """Largest distance between two digits that are neighbours; the smallest is 1."""
    height: int = Field(32, ge=10, le=256, json_schema_extra={"unit": "pixels"})
    """Height of a line."""
    width: int = Field(192, ge=20, le=4096, json_schema_extra={"unit": "pixels"})
    """Width of a line: enough for max_digits digits and the largest gaps between them."""
    # Below 2**63: of a larger one, numpy would make the Philox key [seed, split] in float64.
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of the lines: which digits they have, and where these stand. The seed of the run does
    not change the lines."""

    @model_validator(mode="after")
    def _digits_fit(self) -> Self:
        least, most, size = self.min_digits, self.max_digits, self.digit_size
        if least > most:
            reject(
                ["min_digits"],
                f"min_digits must be at most max_digits, which is {most}, got {least}",
                least,
            )
        if self.height < size:
            text = f"height must be at least digit_size, which is {size}, got {self.height}"
            reject(["height"], text, self.height)
        needed = most * size + (most - 1) * self.max_gap
        if self.width < needed:
            reject(
                ["width"],
                f"width must be at least {needed}, for {most} digits of {size} pixels with gaps of "
                f"up to {self.max_gap}, got {self.width}",
                self.width,
            )
        return self

    @model_validator(mode="after")
    def _splits_fit(self) -> Self:
        if self.validation is not None and self.validation_lines:
            reject(
                ["validation"],
                "validation must be null if validation_lines is not 0, since both say which "
                f"lines are for validation, got {self.validation} with validation_lines "
                f"{self.validation_lines}",
                self.validation,
            )
        lines = self.train_lines + self.validation_lines + self.test_lines
        pixels = lines * self.height * self.width
        if pixels > MAX_PIXELS:
            most = MAX_PIXELS // (self.height * self.width)
            reject(
                ["train_lines"],
                f"train_lines, validation_lines and test_lines must have a sum of at most {most} "
                f"lines of {self.height} x {self.width} pixels, got {lines}",
                self.train_lines,
            )
        return self

    @property
    def all_train_examples(self) -> int:
        """Number of lines for training, including those that are held out for validation."""
        return self.train_lines

    @property
    def own_validation_examples(self) -> int:
        """Number of validation lines that are made of other digits than the training lines."""
        return self.validation_lines

    @property
    def test_examples(self) -> int:
        """Number of lines for test."""
        return self.test_lines

    @property
    def content(self) -> str:
        """SHA-256 of MNIST's digest and all fields that the lines depend on."""
        served = {*DatasetSpec.model_fields}
        fields = json.dumps(self.model_dump(exclude=served), sort_keys=True)
        return sha256(f"{Mnist(kind='mnist').content} {fields}".encode()).hexdigest()

    @property
    def value_bytes(self) -> int:
        """Bytes of a pixel: 1 (uint8)."""
        return 1

    @property
    def shape(self) -> Shape:
        """Shape of one example: (1, height, width)."""
        return (1, self.height, self.width)


class MnistLines(MnistLinesSpec):
    """
    Lines of 3 to 8 handwritten digits at random offsets; the target is the sequence of the digits.

    A dataset for networks that read text and are trained with the loss ctc. A line consists of
    digits of MNIST, without their margins, on black. The number of digits is random, from
    min_digits to max_digits. Two neighbouring digits have a random gap between them, from 1 to
    max_gap pixels. The first digit begins at a random column from which all digits fit into the
    line. Each digit begins at a random row.

    MNIST's four IDX files are read from the folder ``mnist`` of the data directory. The random
    numbers of a line depend only on the seed, the split and the number of the line. So lines are
    the same on every machine, and more lines in a split do not change the lines before them.

    Lines of different splits have no digits in common. So validation lines from *validation_lines*
    share no digits with the training lines. The field *validation* holds out some of the training
    lines, which do share digits with the remaining training lines.

    References:
        LeCun, Cortes and Burges, The MNIST Database of Handwritten Digits, 1998 (the images).
    """

    kind: Literal["mnist_lines"]

    @property
    def target(self) -> Target:
        """A sequence of min_digits to max_digits digits; each is one of 10 classes."""
        return Target("sequence", 10, self.max_digits)


class MnistLinesRotated(MnistLinesSpec):
    """
    Lines of handwritten digits; half of the lines are turned by 180 degrees, and form class 1.

    A dataset for networks that detect whether a text is upside down, such as PaddleOCR's direction
    classifiers. The lines are those of the dataset mnist_lines with the same fields. Of lines 0 and
    1, of lines 2 and 3, and so on, one line at random is turned by 180 degrees.

    The margins of MNIST's digits are left out, since they would show the class: with margins, a
    turned digit is a pixel higher than an upright digit.

    Some lines cannot be classified for certain: a turned line of only the digits 0, 1, 6, 8 and 9
    looks like digits, too. Of lines of 3 to 8 digits, 4 % are such lines.

    References:
        LeCun, Cortes and Burges, The MNIST Database of Handwritten Digits, 1998 (the images).
    """

    kind: Literal["mnist_lines_rotated"]

    @property
    def target(self) -> Target:
        """One of 2 classes: 0 for upright, 1 for turned by 180 degrees."""
        return Target("classification", 2)
