"""Batches of training examples, in an order that follows from the seed and the epoch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from optcore.data.examples import Drawn, Examples, served


class Batches:
    """
    An endless sequence of batches of the training examples, epoch after epoch.

    Attributes:
        epoch: number of the current epoch, 0 for the first.
        position: number of examples served in the current epoch.
        order: positions of the examples, in the order of the current epoch; None for the order of
            the files. For `Drawn` examples, the numbers that `Drawn.order` returned.
        served: number of examples served since a caller last set this attribute to 0.
    """

    def __init__(
        self,
        examples: Examples | Drawn,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        dtype: torch.dtype,
    ) -> None:
        self._examples, self._batch_size, self._dtype = examples, batch_size, dtype
        self._shuffle, self._seed = shuffle, seed
        self.epoch, self.position, self.served = 0, 0, 0
        self.order: Tensor | None = None
        self._begin_epoch()

    @property
    def at_end(self) -> bool:
        """Whether the last batch of the current epoch has been served."""
        return self.position >= len(self._examples)

    def next(self) -> tuple[Tensor, Tensor]:
        """Return the next batch, inputs and targets; the last batch of an epoch may be smaller."""
        # An epoch begins only now, so that `at_end` is true from the last batch of an epoch until
        # the next batch: an accumulation ends there, and a checkpoint records a completed epoch.
        if self.position >= len(self._examples):
            self.epoch, self.position = self.epoch + 1, 0
            self._begin_epoch()
        stop = min(self.position + self._batch_size, len(self._examples))
        inputs, targets = self._between(self.position, stop)
        self.served += stop - self.position
        self.position = stop
        return served(inputs, self._dtype), targets

    def go_to(self, epoch: int, position: int) -> None:
        """Continue after the first *position* examples of *epoch*."""
        self.epoch, self.position = epoch, position
        self._begin_epoch()

    def _between(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        examples, order = self._examples, self.order
        if not isinstance(examples, Examples):
            assert order is not None
            found = examples.at(order[start:stop])
            return found.inputs, found.targets
        if order is None:
            return examples.inputs[start:stop], examples.targets[start:stop]
        chosen = order[start:stop]
        # Takes 3 us; inputs[chosen] copies byte by byte, with a team of threads: 38 us.
        return examples.inputs.index_select(0, chosen), examples.targets.index_select(0, chosen)

    def _begin_epoch(self) -> None:
        if not isinstance(self._examples, Examples):
            self.order = self._examples.order(
                seed=self._seed, epoch=self.epoch, shuffle=self._shuffle
            )
        elif self._shuffle:
            order = permutation(len(self._examples), seed=self._seed, epoch=self.epoch)
            self.order = torch.from_numpy(order).to(self._examples.targets.device)


def permutation(n: int, *, seed: int, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the numbers 0 to *n* - 1 in a random order that only *seed* and *epoch* determine."""
    # Counter-based: a resumed run can compute the order of its epoch without a saved generator.
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(n)
