"""Load the examples of the dataset that a spec describes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import torch

from optcore.data.examples import Dataset, DatasetMissing, Examples
from optcore.data.installed import read_installed
from optcore.spec.datasets.base import InstalledDataset
from optcore.spec.datasets.catalogue import DATASETS, AnyDataset
from optcore.spec.datasets.validation_split import Validation, validation_positions

# All are imported here, not when a run needs one: trainers are forked after all imports.
SOURCES = {
    kind: import_module(f"optcore.data.sources.{spec.SOURCE or kind}")
    for kind, spec in DATASETS.items()
    if not issubclass(spec, InstalledDataset)
}
"""Name of a dataset -> the module that reads it. Unlike `DATASETS`, these modules import torch."""


def load(spec: AnyDataset, data_dir: Path) -> Dataset:
    """
    Return the dataset that *spec* describes.

    Args:
        spec: spec of the dataset.
        data_dir: directory that contains the folders of the datasets; see `DatasetSpec.folder`.

    Raises:
        DatasetMissing: the files are missing, are damaged, or contain a different number of
            examples than the spec declares.
        PackageError: an installed package has read other examples than its spec declares.
    """
    folder = data_dir / spec.folder
    dataset: Dataset
    if isinstance(spec, InstalledDataset):
        dataset = read_installed(spec, folder)
    else:
        dataset = SOURCES[spec.kind].read(spec, folder)
    # The steps, schedules and plan were computed from the declared sizes, before any file was read.
    own = 0 if dataset.validation is None else len(dataset.validation)
    found = (len(dataset.train), own, len(dataset.test))
    declared = (spec.all_train_examples, spec.own_validation_examples, spec.test_examples)
    if found != declared:
        raise DatasetMissing(
            f"{spec.kind} must have {declared[0]} training, {declared[1]} validation and "
            f"{declared[2]} test examples, got {found[0]}, {found[1]} and {found[2]}"
        )
    return dataset if spec.validation is None else _split(dataset, spec.validation)


def check_continued(spec: AnyDataset, dataset: Dataset, began: str) -> None:
    """
    Check that *dataset* is the one that a run began with, whose digest was *began*.

    Raises:
        DatasetMissing: *dataset* has another digest.
    """
    if dataset.digest != began:
        raise DatasetMissing(
            f"the file of dataset {spec.kind} must be the one that the run began with (SHA-256 "
            f"{began or 'unknown'}), got SHA-256 {dataset.digest}; put that file back"
        )


def _split(dataset: Dataset, validation: Validation) -> Dataset:
    """Return *dataset* with a part of its training examples held out as validation examples."""
    assert isinstance(dataset.train, Examples)  # what is drawn anew has no such split
    chosen = torch.from_numpy(validation_positions(len(dataset.train), validation).copy())
    rest = torch.ones(len(dataset.train), dtype=torch.bool)
    rest[chosen] = False
    train = dataset.train.at(rest.nonzero().squeeze(1))
    return Dataset(train, dataset.test, dataset.train.at(chosen))
