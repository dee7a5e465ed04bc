"""Make the examples of functions to minimize: with noise for training, without for evaluation."""

from __future__ import annotations

from pathlib import Path

import torch

from optcore.data.examples import Dataset
from optcore.data.noise import Noise, noiseless
from optcore.spec.datasets.objectives import ObjectiveSpec


def read(spec: ObjectiveSpec, folder: Path) -> Dataset:
    """Return the dataset. *folder* is not read."""
    del folder
    size = spec.objective.size
    return Dataset(
        Noise(size, spec.noise, spec.all_train_examples, torch.device("cpu")),
        noiseless(spec.test_examples, size),
        noiseless(spec.own_validation_examples, size),
    )
