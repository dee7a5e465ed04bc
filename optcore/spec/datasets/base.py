"""The base of all datasets."""

from __future__ import annotations

from math import prod
from typing import Annotated, ClassVar, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from optcore.packages.entry_points import package_of, raised
from optcore.spec.base import Spec
from optcore.spec.datasets.validation_split import validation_positions
from optcore.spec.errors import RULE, reject, short_repr
from optcore.spec.layers.base import Shape, TensorSpec
from optcore.spec.tasks.tasks import Target


def _split(given: object, info: ValidationInfo) -> object:
    # Before the union: pydantic would report what is wrong with each of its types.
    good = (type(given) is float and 0 < given < 1) or (type(given) is int and given >= 1)
    if not (good or given is None):
        raise PydanticCustomError(
            RULE,
            f"{info.field_name} must be a share between 0 and 1, or a number of examples of at "
            f"least 1, got {short_repr(given)}",
        )
    return given


class DatasetSpec(Spec):
    """The base of all datasets, with the fields for batches, order and validation."""

    SOURCE: ClassVar[str] = ""
    """Name of the module in `optcore.data.sources` that reads the dataset; by default its kind."""
    FOLDER: ClassVar[str | None] = None
    """Name of the folder with the dataset's files, if it is not the dataset's name."""
    MADE_OF: ClassVar[str] = ""
    """Kind of the dataset whose examples this one puts together anew; empty if there is none."""
    VALIDATION_IS_APART: ClassVar[bool] = False
    """Whether no job with a dataset of this kind, whatever its fields, trains on examples of the
    dataset's own validation split."""

    kind: str
    """Name of the dataset."""

    # 100 is the batch size of Paddle's comparison of optimizers, whose network is mnist_cnn.
    batch_size: int = Field(100, ge=1, le=65_536, json_schema_extra={"unit": "examples"})
    """Number of examples per batch; the last batch of an epoch may be smaller."""
    shuffle: bool = True
    """Whether every epoch has a new random order, derived from the run's seed; false for the order
    of the files."""
    # Not dumped by default: a spec of 0.2.0 keeps its JSON and digest.
    validation: Annotated[int | float | None, BeforeValidator(_split)] = Field(
        None, exclude_if=lambda validation: validation is None
    )
    """Training examples that are held out for validation, and not trained on: a share (0.1) or a
    number (5000) of the training examples. The same examples are held out in every run. null: the
    dataset's own validation examples, if it has any."""

    @property
    def all_train_examples(self) -> int:
        """Number of training examples, including those that are held out for validation."""
        raise NotImplementedError

    @property
    def own_validation_examples(self) -> int:
        """Number of examples in the dataset's own validation split; 0 if it has no such split."""
        return 0

    @property
    def test_examples(self) -> int:
        """Number of test examples, which are evaluated once, at the end of a run."""
        raise NotImplementedError

    @property
    def content(self) -> str:
        """
        Version of the examples, which changes when the examples change.

        If the files of the dataset are checked when they are read, the version is their digest.
        """
        return "1"

    @property
    def folder(self) -> str:
        """Name of the folder in the data directory with the dataset's files."""
        return self.FOLDER or self.kind

    @property
    def value_bytes(self) -> int:
        """Bytes that each number of the inputs takes in memory, such as 1 for uint8."""
        return 4

    @property
    def memory_bytes(self) -> int:
        """Bytes that all examples take in memory."""
        example = prod(self.shape) * self.value_bytes + 8 * self.target.longest
        return (self.train_examples + self.validation_examples + self.test_examples) * example

    @property
    def shape(self) -> Shape:
        """Shape of one example: (channels, height, width) for images."""
        raise NotImplementedError

    @property
    def input(self) -> TensorSpec:
        """The input of a network for one example."""
        return TensorSpec.of(self.shape)

    @property
    def target(self) -> Target:
        """What is to be predicted for an example, such as one of 10 classes."""
        raise NotImplementedError

    @property
    def train_examples(self) -> int:
        """Number of examples to train on, without those that are held out for validation."""
        if self.validation is None:
            return self.all_train_examples
        return self.all_train_examples - self.validation_examples

    @property
    def validation_examples(self) -> int:
        """Number of validation examples; 0 if there is no validation split."""
        if self.validation is None:
            return self.own_validation_examples
        return len(validation_positions(self.all_train_examples, self.validation))

    @model_validator(mode="after")
    def _splits_have_examples(self) -> Self:
        given, most = self.validation, self.all_train_examples - 1
        if given is not None and not 1 <= self.validation_examples <= most:
            reject(
                ["validation"],
                f"validation must hold out from 1 to {most} of the {most + 1} training examples, "
                f"got {given}",
                given,
            )
        return self

    @model_validator(mode="after")
    def _a_batch_fits(self) -> Self:
        # Otherwise `Batches` would silently serve all examples as one smaller batch.
        if self.batch_size > self.train_examples:
            reject(
                ["batch_size"],
                f"batch_size must be at most {self.train_examples}, the number of training "
                f"examples, got {self.batch_size}",
                self.batch_size,
            )
        return self


class InstalledDataset(DatasetSpec):
    """
    The base of datasets from installed packages (entry points of the group ``optserve.datasets``).

    `docs/extending.md` shows a complete package with a dataset.
    """

    CODE: ClassVar[str]
    """
    The function that reads the examples, as ``module:function``.

    ``function(spec, folder)`` gets the spec, and the path of the folder with the name of the
    dataset in the data directory, which need not exist. It returns an
    `optcore.data.examples.Dataset` with as many examples as the spec declares.
    """

    @model_validator(mode="wrap")
    @classmethod
    def _names_the_package(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            spec = handler(data)
            _ = spec.test_examples, spec.content, spec.memory_bytes, spec.input, spec.target
        except ValidationError:
            raise
        # Any exception, for it is other people's code.
        except Exception as error:
            if package_of(cls) is None:
                raise
            reject([], raised(cls, error), None)
        return spec

    # Facts about datasets are kept by spec, and lists have no hash.
    def __hash__(self) -> int:
        """Return a hash of the fields."""
        return hash(self.model_dump_json())
