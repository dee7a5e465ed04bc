"""From a dataset's spec to its examples."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from optcore.data.examples import Dataset, DatasetMissing
from optcore.data.sources.digits import read_digits
from optcore.data.sources.mnist import read_idx_files, read_json_file
from optcore.spec.datasets.catalogue import AnyDataset
from optcore.spec.datasets.digits import Digits
from optcore.spec.datasets.mnist import Mnist


def load(spec: AnyDataset, data_dir: Path) -> Dataset:
    """
    Return the dataset of *spec*.

    Args:
        spec: which one.
        data_dir: directory of the datasets, each in a folder of its name.

    Raises:
        DatasetMissing: it is not there, or has other sizes than the spec declares.
    """
    match spec:
        case Mnist(source="idx"):
            dataset = read_idx_files(data_dir / "mnist")
        case Mnist():
            dataset = read_json_file(data_dir / "mnist")
        case Digits():
            dataset = read_digits(spec.train_examples)
        case _:
            assert_never(spec)
    # Steps, schedules and plan were computed from the declared sizes, before a file was read.
    found = (len(dataset.train), len(dataset.test))
    declared = (spec.train_examples, spec.test_examples)
    if found != declared:
        raise DatasetMissing(
            f"{spec.kind} must have {declared[0]} training and {declared[1]} test examples, "
            f"got {found[0]} and {found[1]}"
        )
    return dataset
