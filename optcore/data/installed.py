"""Read the datasets of installed packages."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from optcore.data.examples import Dataset, Examples
from optcore.packages.code import code_of
from optcore.packages.entry_points import PackageError, package_of
from optcore.spec.datasets.base import InstalledDataset
from optcore.spec.errors import short_repr
from optcore.spec.tasks.tasks import Target


def read_installed(spec: InstalledDataset, folder: Path) -> Dataset:
    """
    Return the dataset that the package of *spec* reads.

    Raises:
        PackageError: inputs or targets do not have the shape, dtype or range that the spec
            declares.
    """
    subject = f"{package_of(type(spec))}: dataset {spec.kind}"
    found = code_of(type(spec))(spec, folder)
    if not isinstance(found, Dataset):
        raise PackageError(
            f"{subject}: {spec.CODE} must return a Dataset, got {type(found).__name__}"
        )
    for name in ("train", "validation", "test"):
        examples = getattr(found, name)
        if name == "validation" and examples is None:
            continue
        if not isinstance(examples, Examples) and not (name == "train" and _is_drawn(examples)):
            kind = "Examples or Drawn" if name == "train" else "Examples"
            raise PackageError(f"{subject}: {name} must be {kind}, got {type(examples).__name__}")
        _check_inputs(f"{subject}: inputs of {name}", spec, examples.inputs)
        _check_targets(f"{subject}: targets of {name}", spec.target, examples.targets)
        if len(examples.inputs) != len(examples.targets):
            got = f"{len(examples.inputs)} inputs and {len(examples.targets)} targets"
            raise PackageError(f"{subject}: {name} must have a target for each input, got {got}")
    return found


def _is_drawn(examples: object) -> bool:
    """Return whether *examples* has the properties and methods of `Drawn`."""
    return all(hasattr(examples, name) for name in ("inputs", "targets", "order", "at", "to"))


def _check_inputs(what: str, spec: InstalledDataset, inputs: Tensor) -> None:
    fits = inputs.dtype == torch.uint8 or inputs.is_floating_point()
    kind = "floats or uint8"
    if spec.input.integers:
        fits, kind = inputs.dtype == torch.int64, "int64"
    if not fits or tuple(inputs.shape[1:]) != spec.shape:
        raise PackageError(
            f"{what} must be {kind} of shape {_of_examples(spec.shape)}, got {_what(inputs)}"
        )


def _check_targets(what: str, target: Target, targets: Tensor) -> None:
    """Check that *targets* have the form that `Target` documents."""
    if target.task in ("multi_label", "regression"):
        if targets.dtype != torch.float32 or tuple(targets.shape[1:]) != (target.size,):
            rule = f"float32 of shape {_of_examples((target.size,))}"
            raise PackageError(f"{what} must be {rule}, got {_what(targets)}")
        other = targets[(targets != 0) & (targets != 1)]
        if target.task == "multi_label" and len(other):
            raise PackageError(f"{what} must be 0 or 1, got {float(other[0])}")
        return
    shape = () if target.task == "classification" else (target.longest,)
    if targets.dtype != torch.int64 or tuple(targets.shape[1:]) != shape:
        rule = f"int64 of shape {_of_examples(shape)}"
        raise PackageError(f"{what} must be {rule}, got {_what(targets)}")
    least = -1 if target.task == "sequence" else 0
    if len(targets) and not (least <= targets.min() and targets.max() < target.size):
        got = f"{int(targets.min())} to {int(targets.max())}"
        raise PackageError(f"{what} must be from {least} to {target.size - 1}, got {got}")
    if target.task == "sequence":
        # A class that follows a -1.
        wrong = ((targets[:, :-1] < 0) & (targets[:, 1:] >= 0)).any(1)
        if wrong.any():
            got = short_repr(targets[wrong][0].tolist())
            raise PackageError(
                f"{what} must have -1 only after the last class of an example, got {got}"
            )


def _of_examples(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['examples', *map(str, shape)])})"


def _what(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"
