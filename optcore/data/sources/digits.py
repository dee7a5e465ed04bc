"""Read the handwritten digits from the installed package scikit-learn."""

from __future__ import annotations

import gzip
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, Examples
from optcore.spec.datasets.digits import Digits

FILE = "sklearn/datasets/data/digits.csv.gz"
"""Path of the data in the package; a line contains the 64 levels and the class of an image."""
LEVELS = 16
"""Level of the brightest pixel."""


@cache
def _arrays() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """
    Return the gray levels of all images, of shape (examples, 8, 8), and their classes.

    The file is read directly: importing `sklearn.datasets` takes a second and 100 MB.
    """
    shipped = metadata.distribution("scikit-learn").locate_file(FILE)
    with gzip.open(Path(str(shipped))) as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def read(spec: Digits, folder: Path) -> Dataset:
    """
    Return the digits: the first ``spec.train_examples`` to train on, the rest to test.

    *folder* is not read: the file is in the installed package.
    """
    del folder
    levels, classes = _arrays()
    # Sixteenths are exact in float32, and in bfloat16.
    images = torch.from_numpy((levels / LEVELS).astype(np.float32)).unsqueeze(1)
    labels = torch.from_numpy(classes)
    n = spec.train_examples
    return Dataset(Examples(images[:n], labels[:n]), Examples(images[n:], labels[n:]))
