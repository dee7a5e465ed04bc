"""Examples of noise, for functions whose gradient has noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from optcore.data.examples import Examples
from optcore.schedules.numerics.random import normals

DRAWN_TOGETHER = 65_536
"""Number of float64 that are drawn at a time: together they would take twice the memory of a
batch, and as much again for each step of their formula."""


@dataclass(frozen=True)
class Noise:
    """
    Training examples that are vectors of normal numbers; input and target are the same.

    Attributes:
        size: number of numbers in a vector.
        deviation: standard deviation of each number.
        count: number of examples in an epoch.
        device: where the examples are served.
    """

    size: int
    deviation: float
    count: int
    device: torch.device

    def __len__(self) -> int:
        return self.count

    @property
    def inputs(self) -> Tensor:
        """Zeros, in the shape of an epoch's examples."""
        return torch.zeros(1, self.size, device=self.device).expand(self.count, -1)

    @property
    def targets(self) -> Tensor:
        """Zeros, as the inputs: input and target of an example are equal."""
        return self.inputs

    def order(self, *, seed: int, epoch: int, shuffle: bool) -> Tensor:
        """
        Return the keys of the examples of an epoch; without *shuffle*, those of the first epoch.

        The key of an example depends on *seed*, *epoch* and its number in the epoch alone.
        """
        # Raw words, not `integers`: numpy promises only the words to be the same in every release.
        philox = np.random.Philox(key=[seed, epoch if shuffle else 0])
        return torch.from_numpy(philox.random_raw(self.count).view(np.int64))

    def at(self, order: Tensor) -> Examples:
        """Return the examples whose random numbers have the keys *order*."""
        if not self.deviation:
            return noiseless(len(order), self.size).to(self.device)
        keys = order.cpu().numpy().view(np.uint64)
        numbers = torch.empty(len(keys), self.size)
        rows = max(1, DRAWN_TOGETHER // self.size)
        for i in range(0, len(keys), rows):
            drawn = normals(keys[i : i + rows], self.size) * self.deviation
            numbers[i : i + rows] = torch.from_numpy(drawn)
        numbers = numbers.to(self.device)
        return Examples(numbers, numbers)

    def to(self, device: torch.device) -> Noise:
        """Return the same examples on *device*."""
        return replace(self, device=device)


def noiseless(count: int, size: int) -> Examples:
    """Return *count* examples without noise."""
    zeros = torch.zeros(count, size)
    return Examples(zeros, zeros)
