"""Make the dataset digit_lines: lines of several handwritten digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, Examples
from optcore.data.sources.digits import images_and_classes
from optcore.spec.datasets.digit_lines import LONGEST, SIDE, DigitLines
from optcore.spec.datasets.digits import TRAIN_DIGITS

TRAIN_KEY, TEST_KEY, VALIDATION_KEY = 1, 2, 3
"""Keys of the random numbers that choose the digits of the lines."""
VALIDATED = 1_200
"""Position of the first training digit of which only validation lines are made."""


def read(spec: DigitLines, folder: Path) -> Dataset:
    """Return the dataset. *folder* is not read, since the digits come with scikit-learn."""
    del folder
    images, classes = images_and_classes()

    def lines(digits: slice, count: int, key: int) -> Examples:
        return _lines(images[digits], classes[digits], count, key)

    return Dataset(
        lines(slice(0, VALIDATED), spec.all_train_examples, TRAIN_KEY),
        lines(slice(TRAIN_DIGITS, None), spec.test_examples, TEST_KEY),
        lines(slice(VALIDATED, TRAIN_DIGITS), spec.own_validation_examples, VALIDATION_KEY),
    )


def _lines(
    images: NDArray[np.float32], classes: NDArray[np.int64], count: int, key: int
) -> Examples:
    """
    Return *count* lines, each made of 1 to `LONGEST` of the *images*.

    The images are chosen at random; *key* is the key of the random numbers.
    """
    # Raw words, not `integers`: numpy promises only the words to be the same in every release.
    words = np.random.Philox(key=[0, key]).random_raw(count * (LONGEST + 1)).astype(np.uint64)
    table = words.reshape(count, LONGEST + 1)
    lengths = 1 + table[:, :1] % np.uint64(LONGEST)
    chosen = (table[:, 1:] % np.uint64(len(images))).astype(np.int64)
    blank = np.arange(LONGEST, dtype=np.uint64) >= lengths
    pixels = np.where(blank[..., None, None], np.float32(0), images[chosen])
    lines = pixels.transpose(0, 2, 1, 3).reshape(count, 1, SIDE, SIDE * LONGEST)
    targets = np.where(blank, -1, classes[chosen])
    return Examples(torch.from_numpy(np.ascontiguousarray(lines)), torch.from_numpy(targets))
