"""Datasets in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor


class DatasetMissing(Exception):
    """Files of the dataset are missing from the data directory, or have unexpected content."""


@dataclass(frozen=True)
class Examples:
    """
    The examples of one split of a dataset, such as its test examples.

    Attributes:
        inputs: tensor of shape (examples, ...). An example is an image (channels, height, width),
            a vector or a list of tokens. Tokens are int64. Images and vectors are floats, or uint8
            numbers x that stand for x/255.
        targets: what the network learns to predict, such as the class of each example. Its shape
            and dtype are in `optcore.spec.tasks.tasks.Target`.
    """

    # uint8 takes a quarter of the memory of float32; a batch is converted when it is served.
    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def at(self, positions: Tensor) -> Examples:
        """Return the examples at *positions*, in that order."""
        return Examples(
            self.inputs.index_select(0, positions), self.targets.index_select(0, positions)
        )

    def to(self, device: torch.device) -> Examples:
        """Return the same examples on *device*."""
        return Examples(self.inputs.to(device), self.targets.to(device))


class Drawn(Protocol):
    """Training examples that each epoch draws anew, and that are made when they are served."""

    @property
    def inputs(self) -> Tensor:
        """Inputs of as many examples as an epoch has, the same in every epoch."""

    @property
    def targets(self) -> Tensor:
        """Targets of the same examples."""

    def __len__(self) -> int:
        """Return the number of examples in an epoch."""

    def order(self, *, seed: int, epoch: int, shuffle: bool) -> Tensor:
        """
        Return an int64 tensor with one number for each example of an epoch.

        `at` makes the example from this number.

        Args:
            seed: the seed of the run.
            epoch: the number of the epoch, 0 for the first.
            shuffle: whether epochs have different examples.
        """

    def at(self, order: Tensor) -> Examples:
        """Return the examples with the numbers in *order*."""

    def to(self, device: torch.device) -> Self:
        """Return the same examples on *device*."""


@dataclass(frozen=True)
class Dataset:
    """
    The three splits of a dataset.

    Attributes:
        train: examples to train on.
        test: examples that are evaluated once, at the end of the run.
        validation: examples that are evaluated during the run, for early stopping, the best
            checkpoint and schedules that follow a metric; None if there is no such split.
        digest: SHA-256 of the file that the examples come from; empty if the spec determines
            the examples. A run is continued only with a file of the same digest.
    """

    train: Examples | Drawn
    test: Examples
    validation: Examples | None = None
    digest: str = ""

    def to(self, device: torch.device) -> Dataset:
        """Return the same dataset on *device*."""
        validation = None if self.validation is None else self.validation.to(device)
        return Dataset(self.train.to(device), self.test.to(device), validation, self.digest)


def served(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """
    Return *inputs* as the network reads them.

    Floats are converted to *dtype*. A uint8 x becomes x/255 in *dtype*. Tokens stay int64.
    """
    if inputs.dtype == torch.int64:
        return inputs
    if inputs.dtype == torch.uint8:
        # In place only here, where the conversion has made a copy: floats of the same dtype are
        # returned without a copy, and share the memory of the dataset.
        return inputs.to(dtype).div_(255)
    return inputs.to(dtype)
