"""scikit-learn's handwritten digits."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, Examples

LEVELS = 16
"""The brightest pixel."""


@cache
def _arrays() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return levels (examples, 8, 8) and classes as they are shipped; reading them takes 20 ms."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  0.7 s that other datasets save

    bunch = load_digits()
    return bunch.images, bunch.target


def read_digits(train_examples: int) -> Dataset:
    """Return the digits, the first *train_examples* to train on and the rest to test."""
    levels, classes = _arrays()
    images = torch.from_numpy((levels / LEVELS).astype(np.float32)).unsqueeze(1)
    labels = torch.from_numpy(classes.astype(np.int64))
    n = train_examples
    return Dataset(Examples(images[:n], labels[:n]), Examples(images[n:], labels[n:]))
