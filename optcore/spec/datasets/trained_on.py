"""The examples on which earlier jobs trained the weights that a run starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from optcore.spec.base import kind_of
from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.datasets.catalogue import DATASETS

SERVING = {"batch_size", "shuffle", "validation"}
"""Fields of a dataset that do not change which examples its files have."""


@dataclass(frozen=True)
class TrainedOn:
    """
    The examples that a job trained on: those of its dataset, without those it held out.

    Attributes:
        job: the id of the job.
        dataset: the fields of the dataset's spec that say which files it has.
        left_out: the number of training examples that the job held out for validation.
    """

    job: str
    dataset: Mapping[str, Any]
    left_out: int

    @classmethod
    def of(cls, job: str, dataset: DatasetSpec) -> Self:
        """Return what *job* trains on with *dataset*."""
        left_out = 0 if dataset.validation is None else dataset.validation_examples
        return cls(job, _files(dataset), left_out)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Return the object for which `stored` returned *data*."""
        return cls(**data)

    def stored(self) -> dict[str, Any]:
        """Return this object as JSON types."""
        return asdict(self)


def joined(before: Sequence[TrainedOn], last: TrainedOn) -> list[TrainedOn]:
    """
    Return *before* and *last* in one list, with only one entry for jobs with the same files.

    This is the entry of the job that held out the fewest examples. Every job holds out the examples
    with the smallest hashes (`optcore.spec.datasets.validation_split`). So this job has trained on
    all examples that the other jobs with these files have trained on.
    """
    same = [each for each in before if each.dataset == last.dataset]
    rest = [each for each in before if each.dataset != last.dataset]
    return [*rest, min([last, *same], key=lambda each: each.left_out)]


def warnings(dataset: DatasetSpec, trained_on: Sequence[TrainedOn]) -> list[str]:
    """
    Return a warning for each job in *trained_on* that has seen validation examples of *dataset*.

    There is also a warning for a job that may have seen them: its files differ from *dataset*'s, or
    one of the two datasets is made of the examples of the other.
    """
    if dataset.target.task == "minimization":
        return []  # its validation example has no noise: there is nothing to know of it
    files, is_apart = _files(dataset), dataset.VALIDATION_IS_APART and dataset.validation is None
    found = []
    for each in trained_on if dataset.validation_examples else ():
        before = DATASETS.get(each.dataset["kind"])
        if before is None or (is_apart and before.VALIDATION_IS_APART):
            continue
        if each.dataset == files:
            found += _of_the_same_files(dataset, each)
        elif _origin(before) == _origin(type(dataset)):
            found.append(_of_other_files(files, each))
    return found


def _origin(dataset: type[DatasetSpec]) -> str:
    """Return the kind of the dataset that has the examples of *dataset*."""
    return dataset.MADE_OF or kind_of(dataset)


def _of_the_same_files(dataset: DatasetSpec, before: TrainedOn) -> list[str]:
    # Validation examples that a dataset brings are beside those that it is trained on.
    chosen = 0 if dataset.validation is None else dataset.validation_examples
    known = chosen - min(chosen, before.left_out)
    if not known:
        return []
    way_out = (
        f"with dataset.validation at most {before.left_out}, none would be"
        if before.left_out
        else f"job {before.job} held out no training examples"
    )
    return [
        f"dataset.validation: {known} of the {chosen} validation examples are training examples of "
        f"job {before.job}, which trained the weights that this job starts from, so its val_ "
        f"metrics look too good; {way_out}"
    ]


def _of_other_files(files: Mapping[str, Any], before: TrainedOn) -> str:
    name = next(name for name in files if files[name] != before.dataset.get(name))
    return (
        f"dataset.{name}: validation examples of {files['kind']} may be training examples of job "
        f"{before.job}, which trained the weights that this job starts from with {name} "
        f"{before.dataset.get(name)}, so its val_ metrics may look too good"
    )


def _files(dataset: DatasetSpec) -> dict[str, Any]:
    return dataset.model_dump(mode="json", exclude=SERVING)
