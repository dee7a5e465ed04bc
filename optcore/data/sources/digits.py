"""Read the handwritten digits from the installed package scikit-learn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, Examples
from optcore.data.sources.scikit_learn import table
from optcore.spec.datasets.digits import TRAIN_DIGITS, Digits

LEVELS = 16
"""Level of the brightest pixel."""


@cache
def images_and_classes() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the images, (examples, 8, 8) in 0..1, and the classes, (examples,), of all digits."""
    # A line contains the 64 levels and the class of an image.
    lines = table("digits.csv.gz", ",")
    # Sixteenths are exact in float32, and in bfloat16.
    images = (lines[:, :-1].reshape(-1, 8, 8) / LEVELS).astype(np.float32)
    return images, lines[:, -1].astype(np.int64)


def read(spec: Digits, folder: Path) -> Dataset:
    """
    Return the dataset: the first 1,500 digits are training examples, the others test examples.

    *folder* is not read, since the file comes with scikit-learn.
    """
    del spec, folder
    images, classes = images_and_classes()
    # Copies, so that nothing can change the arrays of later runs.
    inputs, targets = torch.tensor(images).unsqueeze(1), torch.tensor(classes)
    n = TRAIN_DIGITS
    return Dataset(Examples(inputs[:n], targets[:n]), Examples(inputs[n:], targets[n:]))
