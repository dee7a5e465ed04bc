"""Training examples that are windows of a text, copied from the text when they are served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optcore.data.examples import Examples


@dataclass(frozen=True)
class Windows:
    """
    Training examples that are windows of one text; an epoch has *count* of them.

    Attributes:
        tokens: the text, a 1-D uint8 tensor of at least *length* + 1 tokens.
        length: number of tokens in the input of a window, and in its targets.
        count: number of windows in an epoch.
    """

    tokens: Tensor
    length: int
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def inputs(self) -> Tensor:
        """The inputs of evenly spaced windows, as many as there are in an epoch."""
        return self.at(self.even_starts()).inputs

    @property
    def targets(self) -> Tensor:
        """The targets of the same windows: for each position, the next token of the text."""
        return self.at(self.even_starts()).targets

    def order(self, *, seed: int, epoch: int, shuffle: bool) -> Tensor:
        """
        Return where the windows of an epoch begin, int64 (count,).

        With *shuffle*, the windows begin at random tokens. Without it, at equal distances.
        """
        return self.random_starts(seed=seed, epoch=epoch) if shuffle else self.even_starts()

    def random_starts(self, *, seed: int, epoch: int) -> Tensor:
        """
        Return where the windows of an epoch begin, int64 (count,).

        In one text, the start of a window depends only on *seed*, *epoch*, its number in the epoch
        and the length of windows.
        """
        # Raw words, not `integers`: numpy promises only the words to be the same in every release.
        words = np.random.Philox(key=[seed, epoch]).random_raw(self.count).astype(np.uint64)
        places = np.uint64(len(self.tokens) - self.length)
        return torch.from_numpy((words % places).astype(np.int64)).to(self.tokens.device)

    def even_starts(self) -> Tensor:
        """
        Return where evenly spaced windows begin, int64 (count,).

        The first window begins at the first token. The last token of the text is the last target.
        """
        last = len(self.tokens) - self.length - 1
        starts = np.arange(self.count, dtype=np.int64) * last // max(1, self.count - 1)
        return torch.from_numpy(starts).to(self.tokens.device)

    def at(self, starts: Tensor) -> Examples:
        """Return the windows that begin at *starts*; targets are the inputs, one token later."""
        within = torch.arange(self.length + 1, device=self.tokens.device)
        found = self.tokens[starts.unsqueeze(1) + within].long()
        return Examples(found[:, :-1].contiguous(), found[:, 1:].contiguous())

    def to(self, device: torch.device) -> Windows:
        """Return the same windows on *device*."""
        return Windows(self.tokens.to(device), self.length, self.count)
