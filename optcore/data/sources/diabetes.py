"""Read the diabetes patients from the installed package scikit-learn."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, Examples
from optcore.data.sources.scikit_learn import table
from optcore.spec.datasets.diabetes import Diabetes


@cache
def _arrays() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the measurements, (patients, 10), and the disease's progressions, (patients, 1)."""
    return table("diabetes_data_raw.csv.gz"), table("diabetes_target.csv.gz").reshape(-1, 1)


def read(spec: Diabetes, folder: Path) -> Dataset:
    """
    Return the dataset: the first 354 patients are training examples, the others test examples.

    *folder* is not read, since the files come with scikit-learn.
    """
    del folder
    measured, progressed = _arrays()
    n = spec.all_train_examples
    known = measured[:n]
    inputs = torch.from_numpy(((measured - known.mean(0)) / known.std(0)).astype(np.float32))
    targets = torch.from_numpy(progressed.astype(np.float32))
    return Dataset(Examples(inputs[:n], targets[:n]), Examples(inputs[n:], targets[n:]))
