"""Make the dataset mnist_lines: lines of MNIST's digits at random offsets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, Examples
from optcore.data.sources.mnist import read_idx_files
from optcore.spec.datasets.mnist_lines import MnistLinesSpec

TRAIN_KEY, TEST_KEY, VALIDATION_KEY = 1, 2, 3
"""Keys of the random numbers of the splits."""
VALIDATED = Fraction(1, 6)
"""Share of the training digits, the last ones, of which only validation lines are made."""
OF_A_LINE, OF_A_DIGIT = 2, 3
"""Random numbers that each line takes (how many digits, where they begin), and each digit in it
(which, its row, the gap before it)."""
FULL_SIZE = 20
"""Height and width of the square that each digit of MNIST fits in."""


class Digits(NamedTuple):
    """
    Digits to make lines of.

    Attributes:
        images: uint8 (digits, 28, 28).
        classes: int64 (digits,).
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]


class Boxes(NamedTuple):
    """The smallest rectangle that holds each digit: its first row and column, and its size."""

    top: NDArray[np.int64]
    left: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]


def read(spec: MnistLinesSpec, folder: Path) -> Dataset:
    """
    Return the lines, whose targets are their digits; *folder* has the IDX files of MNIST.

    Raises:
        DatasetMissing: a file is missing, or its SHA-256 is wrong.
    """
    return lines_of(spec, read_idx_files(folder))


def lines_of(spec: MnistLinesSpec, mnist: Dataset) -> Dataset:
    """Return lines of digits from *mnist*; the target of a line is the sequence of its digits."""
    assert isinstance(mnist.train, Examples)
    first_validated = int(len(mnist.train) * (1 - VALIDATED))
    validation = None
    if spec.validation_lines:
        digits = _part(mnist.train, slice(first_validated, None))
        validation = _lines(spec, digits, spec.validation_lines, VALIDATION_KEY)
    return Dataset(
        _lines(spec, _part(mnist.train, slice(first_validated)), spec.train_lines, TRAIN_KEY),
        _lines(spec, _part(mnist.test, slice(None)), spec.test_lines, TEST_KEY),
        validation,
    )


def random_words(seed: int, key: int, rows: int, columns: int) -> NDArray[np.uint64]:
    """
    Return random numbers of 64 bits, (rows, columns), chosen by *seed* and *key*.

    The numbers in a row do not depend on how many rows there are.
    """
    # Raw words, not `integers`: numpy promises only the words to be the same in every release.
    words = np.random.Philox(key=[seed, key]).random_raw(rows * columns)
    return words.astype(np.uint64).reshape(rows, columns)


def _part(examples: Examples, part: slice) -> Digits:
    return Digits(examples.inputs[part, 0].numpy(), examples.targets[part].numpy())


def _boxes(images: NDArray[np.uint8]) -> Boxes:
    def first_and_size(inked: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first = inked.argmax(1)
        return first, inked.shape[1] - inked[:, ::-1].argmax(1) - first

    (top, height), (left, width) = (first_and_size(images.max(axis) > 0) for axis in (2, 1))
    return Boxes(top, left, height, width)


def _lines(spec: MnistLinesSpec, digits: Digits, count: int, key: int) -> Examples:
    """
    Return *count* lines. The target of a line is the classes of its digits, padded with -1.

    A line is first drawn in the pixels of MNIST. A pixel of the finished line is the mean of
    factor x factor of these pixels, with factor = 20 / digit_size.

    A line has n digits. Digit j = 0, 1, ... is height_j x width_j pixels large, and its upper left
    pixel is in the row row_j and the column column_j. Each ``random`` is a new number::

        n          = min_digits + random mod (max_digits - min_digits + 1)
        digit_j    = random mod (number of digits)
        gap_j      = factor + random mod (factor * (max_gap - 1) + 1),  gap_0 = 0
        start      = random mod (factor * width - sum_j (gap_j + width_j) + 1)
        column_j   = start + gap_0 + width_0 + ... + width_(j - 1) + gap_j
        row_j      = random mod (factor * height - height_j + 1)

    Args:
        spec: the fields of the lines.
        digits: the digits to choose from.
        count: number of lines.
        key: key of the random numbers.
    """
    most, factor = spec.max_digits, FULL_SIZE // spec.digit_size
    boxes = _boxes(digits.images)
    words = random_words(spec.seed, key, count, OF_A_LINE + OF_A_DIGIT * most)
    numbers = spec.min_digits + _below(words[:, 0], most - spec.min_digits + 1)
    is_digit = np.arange(most) < numbers[:, None]
    of_digits = words[:, OF_A_LINE:].reshape(count, most, OF_A_DIGIT)
    chosen = _below(of_digits[..., 0], len(digits.images))
    rows = _below(of_digits[..., 1], factor * spec.height - boxes.height[chosen] + 1)
    gaps = factor + _below(of_digits[..., 2], factor * (spec.max_gap - 1) + 1)
    gaps = np.where(is_digit, gaps, 0)
    gaps[:, 0] = 0
    widths = np.where(is_digit, boxes.width[chosen], 0)
    starts = _below(words[:, 1], factor * spec.width - (gaps + widths).sum(1) + 1)
    columns = starts[:, None] + (gaps + widths).cumsum(1) - widths
    pixels = np.zeros((count, 1, spec.height, spec.width), np.uint8)
    for i, number in enumerate(numbers):
        # One line at a time: all of them in MNIST's pixels take four times the memory.
        line = np.zeros((factor * spec.height, factor * spec.width), np.uint8)
        for j, row, column in zip(chosen[i, :number], rows[i], columns[i], strict=False):
            top, left, height, width = (each[j] for each in boxes)
            image = digits.images[j, top : top + height, left : left + width]
            line[row : row + height, column : column + width] = image
        pixels[i, 0] = line if factor == 1 else _halved(line)
    targets = np.where(is_digit, digits.classes[chosen], -1)
    return Examples(torch.from_numpy(pixels), torch.from_numpy(targets))


def _halved(line: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the means of 2 x 2 pixels, rounded half up."""
    wide = line.astype(np.uint16)
    pairs = wide[::2] + wide[1::2]
    return ((pairs[:, ::2] + pairs[:, 1::2] + 2) >> 2).astype(np.uint8)


def _below(words: NDArray[np.uint64], limit: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each of *words* as a number below *limit*."""
    return (words % np.asarray(limit).astype(np.uint64)).astype(np.int64)
