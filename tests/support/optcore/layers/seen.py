"""Which positions of its input a network depends on, found by changing them."""

from __future__ import annotations

import torch
from torch import Tensor

from optcore.networks.build import build
from optcore.spec.layers.base import VECTOR, TensorSpec
from optcore.spec.networks.network import Network

BATCH = 2
WORDS = 11
"""Number of tokens; the embedding of a network of tokens has as many."""


def by_position(values: Tensor, given: TensorSpec) -> Tensor:
    """Return a view (batch, positions, ...) of *values*, a batch like *given*."""
    if given.axes == VECTOR:
        return values.unsqueeze(1)
    return values if given.axes[0] == "length" else values.movedim(-1, 1)


def last_seen(network: Network) -> list[int]:
    """Return the last position of the input that each position of the output depends on, or -1."""
    torch.manual_seed(0)
    module = build(network).double().eval()
    given = network.given
    shape = (BATCH, *given.shape)
    values = torch.randint(WORDS, shape) if given.integers else torch.randn(shape).double()
    with torch.no_grad():
        before = by_position(module(values), network.output)
        found = [-1] * network.output.positions
        for position in range(given.positions):
            # All values of the position in turn, since not every one may matter.
            changed = values.clone()
            place = by_position(changed, given)[:, position]
            place += 1 if given.integers else 3 * torch.rand_like(place.double()) + 3
            if given.integers:
                changed %= WORDS
            after = by_position(module(changed), network.output)
            for t in range(len(found)):
                if not torch.equal(before[:, t], after[:, t]):
                    found[t] = position
    return found
