"""The list of all datasets. Add a new dataset here, and its module to `optcore.data.sources`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from optcore.packages.kinds import by_kind, with_installed
from optcore.spec.datasets.base import DatasetSpec, InstalledDataset
from optcore.spec.datasets.diabetes import Diabetes
from optcore.spec.datasets.digit_lines import DigitLines
from optcore.spec.datasets.digit_segments import DigitSegments
from optcore.spec.datasets.digits import Digits
from optcore.spec.datasets.mnist import Mnist
from optcore.spec.datasets.mnist_lines import MnistLines, MnistLinesRotated
from optcore.spec.datasets.objectives import Quadratic, Rosenbrock, Valley
from optcore.spec.datasets.text import Text

AnyDataset = Annotated[
    Mnist
    | MnistLines
    | MnistLinesRotated
    | Digits
    | DigitSegments
    | DigitLines
    | Diabetes
    | Text
    | Quadratic
    | Rosenbrock
    | Valley
    | InstalledDataset,
    Field(discriminator="kind"),
]
"""Any dataset, selected by `kind`; installed packages may add some."""
if not TYPE_CHECKING:
    AnyDataset = with_installed(
        AnyDataset,
        "optserve.datasets",
        InstalledDataset,
        ["CODE", "all_train_examples", "test_examples", "shape", "target"],
    )

DATASETS = by_kind(AnyDataset, DatasetSpec)
"""Maps the name of each dataset to its class."""
