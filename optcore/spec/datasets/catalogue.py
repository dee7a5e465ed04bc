"""The list of all datasets: a new one is named here, and its reader after it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from optcore.spec.base import by_kind
from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.datasets.digits import Digits
from optcore.spec.datasets.mnist import Mnist

AnyDataset = Annotated[Mnist | Digits, Field(discriminator="kind")]
"""One of the datasets, told apart by `kind`."""

DATASETS = by_kind(AnyDataset, DatasetSpec)
"""Every dataset by its name."""
