"""Dropout whose masks do not depend on random numbers drawn before."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optcore.networks.draws import Draws, number

IMAGES = 4
"""The number of dimensions of a batch of images."""
HOLDS_SCALE = 4
"""Bytes per element of the dtypes whose masks contain the scale, with one operation less."""


class Dropout(nn.Module):
    """
    Dropout: set elements to 0 with probability *p*, in training only.

    ::

        output = input * mask / (1 - p)

    where each element of mask is 0 with probability p, else 1.

    Unlike that of `torch.nn.Dropout`, the mask is drawn from *draws*. It depends only on the seed
    of the run, the step, the batch of the step and the name of the layer, not on the memory format
    or the precision of the input. If the loss of a batch is computed again within a step, the mask
    is the same.

    Args:
        p: the probability that an element becomes 0, from 0 up to but not including 1.
        draws: the random numbers of the run; None to draw from torch's global generators.
        name: the name of the layer, unique in its network.
    """

    def __init__(self, p: float, draws: Draws | None = None, name: str = "") -> None:
        super().__init__()
        self.p, self._draws, self._number = p, draws, number(name)

    def forward(self, given: Tensor) -> Tensor:
        """Return *given* after dropout; in evaluation, or if p is 0, return *given* unchanged."""
        if not self.training or self.p == 0:
            return given
        if self._draws is None or not self._draws.keyed:
            return F.dropout(given, self.p)
        # bfloat16 would round the scale, by up to 0.2 %, and all outputs with it.
        rounds = given.dtype.itemsize < HOLDS_SCALE
        scale = 1 / (1 - self.p)
        mask = self._draws.mask(
            self._number, given.numel(), self.p, value=1.0 if rounds else scale, like=given
        )
        output = given * _shaped(mask, given.shape)
        return output.mul_(scale) if rounds else output

    def extra_repr(self) -> str:
        """Return the text that `repr` shows between the parentheses after the class's name."""
        return f"p={self.p}"


def _shaped(elements: Tensor, shape: torch.Size) -> Tensor:
    """
    Return *elements*, which has one dimension, as a view of *shape*.

    For images, *elements* holds the channels of the first pixel, then those of the next one.
    """
    # In the order in which the images of a CPU lie (`optcore.networks.layout`), so that nothing is
    # transposed there.
    if len(shape) != IMAGES:
        return elements.view(shape)
    batch, channels, height, width = shape
    return elements.view(batch, height, width, channels).permute(0, 3, 1, 2)
