"""Reads the files of datasets that scikit-learn ships."""

from __future__ import annotations

import gzip
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def table(name: str, delimiter: str | None = None) -> NDArray[np.float64]:
    """
    Return the numbers in the file *name* of the package.

    The file is read directly: importing `sklearn.datasets` takes a second and 100 MB.
    """
    file = f"sklearn/datasets/data/{name}"
    shipped = metadata.distribution("scikit-learn").locate_file(file)
    with gzip.open(Path(str(shipped))) as content:
        found: NDArray[np.float64] = np.loadtxt(content, delimiter=delimiter)
    return found
