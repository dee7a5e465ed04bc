"""Read MNIST from its files: the four IDX files, or Paddle's mnist.json.gz."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydantic_core
import torch
from numpy.typing import NDArray

from optcore.data.examples import Dataset, DatasetMissing, Examples
from optcore.spec.datasets.mnist import MNIST_IDX_FILES, MNIST_JSON_FILE, Mnist

SIDE = 28
NUM_CLASSES = 10
IDX_UINT8 = 0x08


def read(spec: Mnist, folder: Path) -> Dataset:
    """Return MNIST from *folder*; ``spec.source`` says which kind of files is read."""
    return read_idx_files(folder) if spec.source == "idx" else read_json_file(folder)


def read_idx_files(folder: Path) -> Dataset:
    """
    Return MNIST from the four IDX files in *folder*, each checked by its SHA-256.

    Raises:
        DatasetMissing: a file is missing, or its SHA-256 is wrong.
    """
    arrays = [_idx(_checked(folder / name, sha)) for name, sha in MNIST_IDX_FILES.items()]
    train_images, train_labels, test_images, test_labels = arrays
    return Dataset(_examples(train_images, train_labels), _examples(test_images, test_labels))


def read_json_file(folder: Path) -> Dataset:
    """
    Return MNIST from mnist.json.gz in *folder*.

    The file contains three pairs [images, labels], for training, validation and test. An image is a
    list of 784 floats in 0..1.

    Raises:
        DatasetMissing: the file is missing, or does not have this form.
    """
    path = folder / MNIST_JSON_FILE
    _must_exist(path)
    try:
        with gzip.open(path) as file:
            parts = pydantic_core.from_json(file.read())
        train, validation, test = (_pair(part) for part in parts)
    except (gzip.BadGzipFile, zlib.error, EOFError, ValueError, TypeError) as error:
        raise DatasetMissing(f"{path} must hold three [images, labels] pairs: {error}") from None
    return Dataset(train, test, validation)


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise DatasetMissing(
            f"{path} does not exist; `optserve datasets fetch mnist` downloads the four IDX files"
        )


def _checked(path: Path, sha256: str) -> bytes:
    _must_exist(path)
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DatasetMissing(
            f"{path} must have SHA-256 {sha256}, got {found}; `optserve datasets fetch mnist` "
            "replaces the file"
        )
    return content


def _idx(content: bytes) -> NDArray[np.uint8]:
    """
    Return the array in an IDX file.

    The file contains two zero bytes, the type of the values, the number of dimensions, the size of
    each dimension, and the values.
    """
    dtype, dims = content[2], content[3]
    assert dtype == IDX_UINT8, dtype  # the checksum was right
    # Sizes are big-endian, whatever the machine.
    shape = np.frombuffer(content, ">u4", count=dims, offset=4)
    # A copy, so that torch owns memory that it can write to.
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape).copy()


def _examples(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Examples:
    return Examples(
        torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64))
    )


def _pair(part: Any) -> Examples:  # noqa: ANN401  whatever the file holds
    images, labels = part
    pixels = np.asarray(images, np.float32)
    numbers = np.asarray(labels, np.float64)
    digits = numbers.astype(np.int64)
    if not (digits == numbers).all():
        wrong = numbers[digits != numbers].flat[0]
        raise ValueError(f"labels must be whole numbers, got {wrong}")
    if pixels.shape != (len(digits), SIDE * SIDE):
        raise ValueError(f"images must have shape ({len(digits)}, 784), got {pixels.shape}")
    # Written so that a NaN fails.
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"pixels must lie in 0..1, got {pixels.min()} to {pixels.max()}")
    if not (digits.min() >= 0 and digits.max() < NUM_CLASSES):
        raise ValueError(f"labels must lie in 0..9, got {digits.min()} to {digits.max()}")
    return Examples(torch.from_numpy(pixels.reshape(-1, 1, SIDE, SIDE)), torch.from_numpy(digits))
