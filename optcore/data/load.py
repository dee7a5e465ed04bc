"""Load the examples of a dataset, given its spec."""

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
    Return the dataset that *spec* describes.

    Args:
        spec: spec of the dataset.
        data_dir: directory that contains a folder for each dataset, with the dataset's name.

    Raises:
        DatasetMissing: the files are missing, are damaged, or contain a different number of
            examples than the spec declares.
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
    # The steps, schedules and plan were computed from the declared sizes, before any file was read.
    found = (len(dataset.train), len(dataset.test))
    declared = (spec.train_examples, spec.test_examples)
    if found != declared:
        raise DatasetMissing(
            f"{spec.kind} must have {declared[0]} training and {declared[1]} test examples, "
            f"got {found[0]} and {found[1]}"
        )
    return dataset
