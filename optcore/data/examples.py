"""Datasets in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


class DatasetMissing(Exception):
    """Files of the dataset are missing from the data directory, or have unexpected content."""


@dataclass(frozen=True)
class Examples:
    """
    Images and their labels.

    Attributes:
        images: tensor of shape (examples, channels, height, width). Pixels are floats, or uint8
            numbers x that stand for x/255.
        labels: tensor of shape (examples,) and dtype int64.
    """

    # uint8 takes a quarter of the memory of float32; a batch is converted when it is served.
    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Examples:
        """Return the same examples on *device*."""
        return Examples(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Dataset:
    """
    The examples of a run.

    Attributes:
        train: examples to train on.
        test: held-out examples.
    """

    train: Examples
    test: Examples

    def to(self, device: torch.device) -> Dataset:
        """Return the same dataset on *device*."""
        return Dataset(self.train.to(device), self.test.to(device))


def pixels(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Return *images* in *dtype*; a uint8 pixel x becomes x/255, a float keeps its value."""
    if images.dtype == torch.uint8:
        # In place only here, where the conversion has made a copy: floats of the same dtype are
        # returned without a copy, and share the memory of the dataset.
        return images.to(dtype).div_(255)
    return images.to(dtype)
