"""Read sequences from the outputs of a network trained with CTC, and compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

BLANK = 0
"""Index of the channel or feature for the blank label, which is no class; k + 1 is class k."""
MAPS = 4
"""Number of dimensions of a batch of maps; a batch of sequences has one fewer."""


def by_step(outputs: Tensor) -> Tensor:
    """
    Return *outputs* as a tensor (batch, steps, classes + 1).

    Args:
        outputs: (batch, steps, classes + 1), or maps of height 1: (batch, classes + 1, 1, steps).
    """
    return outputs.squeeze(2).transpose(1, 2) if outputs.dim() == MAPS else outputs


def best_paths(outputs: Tensor) -> list[list[int]]:
    """
    Return the sequences of classes that *outputs* predict, one per example.

    At each step, the label with the largest output is taken: a class, or the blank. Then each label
    that repeats the label before it is removed. Last, all blanks are removed.

    Args:
        outputs: (batch, steps, classes + 1) or (batch, classes + 1, 1, steps); feature or channel 0
            is the blank, and k + 1 is class k.
    """
    found = []
    for path in by_step(outputs).argmax(2).tolist():
        before = [BLANK, *path[:-1]]
        found.append(
            [
                label - 1
                for label, last in zip(path, before, strict=True)
                if label not in (BLANK, last)
            ]
        )
    return found


def wanted(targets: Tensor) -> list[list[int]]:
    """Return the sequences in *targets*, (batch, longest), without the padding of -1."""
    if targets.dim() == 1:  # one class is a sequence of one
        targets = targets.unsqueeze(1)
    return [[label for label in row if label >= 0] for row in targets.tolist()]


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """
    Return the smallest number of insertions, deletions and substitutions that make *a* equal *b*.

    References:
        Levenshtein, Binary codes capable of correcting deletions, insertions, and reversals, 1966.
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
