"""Make the dataset mnist_lines_rotated: lines of digits, half of them turned by 180 degrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from optcore.data.examples import Dataset, Examples
from optcore.data.sources import mnist_lines
from optcore.data.sources.mnist_lines import TEST_KEY, TRAIN_KEY, VALIDATION_KEY, random_words
from optcore.spec.datasets.mnist_lines import MnistLinesRotated

TURNS = 100
"""Added to the key of a split. The sum is the key of the numbers that choose the lines to turn."""


def read(spec: MnistLinesRotated, folder: Path) -> Dataset:
    """
    Return the lines; the target is 1 for a line that is turned, else 0.

    *folder* has the IDX files of MNIST.

    Raises:
        DatasetMissing: a file is missing, or its SHA-256 is wrong.
    """
    return turned(mnist_lines.read(spec, folder), spec.seed)


def turned(lines: Dataset, seed: int) -> Dataset:
    """
    Turn half of *lines* in place; return all lines, with 1 as the class of a turned line, else 0.

    Of every two lines in a row, one is turned, chosen at random.
    """
    assert isinstance(lines.train, Examples)
    validation = lines.validation
    return Dataset(
        _turned(lines.train, seed, TRAIN_KEY + TURNS),
        _turned(lines.test, seed, TEST_KEY + TURNS),
        None if validation is None else _turned(validation, seed, VALIDATION_KEY + TURNS),
    )


def _turned(lines: Examples, seed: int, key: int) -> Examples:
    first = random_words(seed, key, (len(lines) + 1) // 2, 1)[:, 0] % np.uint64(2)
    classes = np.stack([first, 1 - first], axis=1).flatten()[: len(lines)].astype(np.int64)
    pixels = lines.inputs.numpy()
    for i in np.flatnonzero(classes):  # not all at once, which would copy half of the dataset
        pixels[i] = pixels[i, :, ::-1, ::-1]
    return Examples(lines.inputs, torch.from_numpy(classes))
