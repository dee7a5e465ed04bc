"""Read the files of datasets that come with scikit-learn."""

from __future__ import annotations

import gzip
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def table(name: str, delimiter: str | None = None) -> NDArray[np.float64]:
    """
    Return the numbers in *name*, a file of a dataset in the installed package scikit-learn.

    The numbers of a line are separated by *delimiter*; None stands for blanks.

    The file is read without importing `sklearn.datasets`, which takes a second and 100 MB.
    """
    file = f"sklearn/datasets/data/{name}"
    shipped = metadata.distribution("scikit-learn").locate_file(file)
    with gzip.open(Path(str(shipped))) as content:
        found: NDArray[np.float64] = np.loadtxt(content, delimiter=delimiter)
    return found
