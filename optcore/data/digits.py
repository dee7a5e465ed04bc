"""scikit-learn's handwritten digits."""

from __future__ import annotations

import numpy as np
import torch

from optcore.data.examples import Dataset, Examples

LEVELS = 16
"""The brightest pixel."""


def read_digits(train_examples: int) -> Dataset:
    """Return the digits, the first *train_examples* to train on and the rest to test."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  0.7 s that other datasets save

    bunch = load_digits()
    images = torch.from_numpy((bunch.images / LEVELS).astype(np.float32)).unsqueeze(1)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    n = train_examples
    return Dataset(Examples(images[:n], labels[:n]), Examples(images[n:], labels[n:]))
