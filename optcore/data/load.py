"""From a dataset's spec to its examples."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from optcore.data.examples import Dataset, DatasetMissing
from optcore.spec.datasets.catalogue import DATASETS, AnyDataset

# All at once, not when a run needs one: trainers are forked after all imports.
SOURCES = {kind: import_module(f"optcore.data.sources.{kind}") for kind in DATASETS}
"""Dataset -> the module of its name that reads it. Only these import torch, not the catalogue."""


def load(spec: AnyDataset, data_dir: Path) -> Dataset:
    """
    Return the dataset of *spec*.

    Args:
        spec: which one.
        data_dir: directory of the datasets, each in a folder of its name.

    Raises:
        DatasetMissing: it is not there, or has other sizes than the spec declares.
    """
    dataset: Dataset = SOURCES[spec.kind].read(spec, data_dir / spec.kind)
    # Steps, schedules and plan were computed from the declared sizes, before a file was read.
    found = (len(dataset.train), len(dataset.test))
    declared = (spec.train_examples, spec.test_examples)
    if found != declared:
        raise DatasetMissing(
            f"{spec.kind} must have {declared[0]} training and {declared[1]} test examples, "
            f"got {found[0]} and {found[1]}"
        )
    return dataset
