"""Read a text file that the operator of the service has provided; its bytes are the tokens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from optcore.data.examples import Dataset, DatasetMissing, Examples
from optcore.data.windows import Windows
from optcore.spec.datasets.text import Text

MAX_BYTES = 2**30
"""Size of the largest file that is read."""


def read(spec: Text, folder: Path) -> Dataset:
    """
    Return the windows of the file in *folder*.

    Raises:
        DatasetMissing: the file is missing, too long, too short, or has another SHA-256.
    """
    content = _content(folder / spec.file)
    found = hashlib.sha256(content).hexdigest()
    if spec.sha256 not in (None, found):
        raise DatasetMissing(
            f"{folder / spec.file} must have SHA-256 {spec.sha256}, got {found}; replace the file "
            "by the one with this SHA-256, or submit a job without dataset.sha256"
        )
    # A copy, so that torch owns memory that it can write to.
    tokens = torch.from_numpy(np.frombuffer(content, np.uint8).copy())
    test, validation = (int(len(tokens) * x) for x in (spec.test_share, spec.validation_share))
    sizes = (len(tokens) - validation - test, validation, test)
    _check_sizes(spec, sizes)
    train, middle, end = tokens.split(list(sizes))
    return Dataset(
        Windows(train, spec.length, spec.train_windows),
        _even(end, spec.length, spec.test_windows),
        _even(middle, spec.length, spec.validation_windows) if spec.validation_windows else None,
        digest=found,
    )


def _even(tokens: Tensor, length: int, count: int) -> Examples:
    windows = Windows(tokens, length, count)
    return windows.at(windows.even_starts())


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise DatasetMissing(f"{path} does not exist; put a text file there, in any encoding")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DatasetMissing(f"{path} must have at most {MAX_BYTES} bytes, got {size}")
    return path.read_bytes()


def _check_sizes(spec: Text, sizes: tuple[int, int, int]) -> None:
    """Refuse a text whose parts are too short for the windows."""
    train, validation, test = sizes
    for part, size, windows, share in (
        # Windows for training may overlap.
        ("training", train, 1, 1 - spec.validation_share - spec.test_share),
        ("validation", validation, spec.validation_windows, spec.validation_share),
        ("test", test, spec.test_windows, spec.test_share),
    ):
        needed = windows * spec.length + 1
        if windows and size < needed:
            raise DatasetMissing(
                f"the {part} part of {spec.file} must have at least {needed} bytes ({windows} "
                f"windows of {spec.length} bytes, and one more byte), got {size} ({share:g} of "
                f"{sum(sizes)} bytes); use a longer text, fewer windows or another share"
            )
