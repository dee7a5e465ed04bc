"""Make the dataset digit_segments: digits, labelled with segments of a 7-segment display."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from optcore.data.examples import Dataset, Examples
from optcore.data.sources import digits
from optcore.spec.datasets.digit_segments import SEGMENTS, DigitSegments
from optcore.spec.datasets.digits import Digits

LABELS = "abcdefg"


def read(spec: DigitSegments, folder: Path) -> Dataset:
    """
    Return the dataset: images of digits. The labels are the segments that display the digit.

    *folder* is not read, since the digits come with scikit-learn.
    """
    del spec
    found = digits.read(Digits(kind="digits"), folder)
    lit = torch.tensor([[float(label in segments) for label in LABELS] for segments in SEGMENTS])

    def labelled(examples: Examples) -> Examples:
        labels: Tensor = lit[examples.targets]
        return Examples(examples.inputs, labels)

    assert isinstance(found.train, Examples)
    return Dataset(labelled(found.train), labelled(found.test))
