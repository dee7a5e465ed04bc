"""Read the datasets of installed packages."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from optcore.data.examples import Dataset, Examples
from optcore.packages.code import code_of
from optcore.packages.entry_points import PackageError, package_of
from optcore.spec.datasets.base import InstalledDataset
from optcore.spec.tasks.tasks import Target


def read_installed(spec: InstalledDataset, folder: Path) -> Dataset:
    """
    Return the dataset that the package of *spec* reads.

    Raises:
        PackageError: the inputs or targets are not those that the spec declares.
    """
    subject = f"{package_of(type(spec))}: dataset {spec.kind}"
    found = code_of(type(spec))(spec, folder)
    if not isinstance(found, Dataset):
        raise PackageError(
            f"{subject}: {spec.CODE} must return a Dataset, got {type(found).__name__}"
        )
    for name in ("train", "validation", "test"):
        examples = getattr(found, name)
        if isinstance(examples, Examples):
            _check_inputs(f"{subject}: inputs of {name}", spec, examples.inputs)
            _check_targets(f"{subject}: targets of {name}", spec.target, examples.targets)
            if len(examples.inputs) != len(examples.targets):
                got = f"{len(examples.inputs)} and {len(examples.targets)}"
                raise PackageError(
                    f"{subject}: {name} must have a target for each input, got {got}"
                )
    return found


def _check_inputs(what: str, spec: InstalledDataset, inputs: Tensor) -> None:
    fits = inputs.dtype == torch.uint8 or inputs.is_floating_point()
    kind = "floats or uint8"
    if spec.input.integers:
        fits, kind = inputs.dtype == torch.int64, "int64"
    if not fits or tuple(inputs.shape[1:]) != spec.shape:
        raise PackageError(
            f"{what} must be {kind} of shape (n, *{spec.shape}), got {_what(inputs)}"
        )


def _check_targets(what: str, target: Target, targets: Tensor) -> None:
    """Check that *targets* have the form that `Target` documents."""
    if target.task in ("multi_label", "regression"):
        if targets.dtype != torch.float32 or tuple(targets.shape[1:]) != (target.size,):
            rule = f"float32 of shape (n, {target.size})"
            raise PackageError(f"{what} must be {rule}, got {_what(targets)}")
        return
    shape = () if target.task == "classification" else (target.longest,)
    if targets.dtype != torch.int64 or tuple(targets.shape[1:]) != shape:
        raise PackageError(f"{what} must be int64 of shape (n, *{shape}), got {_what(targets)}")
    least = -1 if target.task == "sequence" else 0
    if len(targets) and not (least <= targets.min() and targets.max() < target.size):
        got = f"{int(targets.min())} to {int(targets.max())}"
        raise PackageError(f"{what} must be from {least} to {target.size - 1}, got {got}")


def _what(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
