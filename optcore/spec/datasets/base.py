"""The base of all datasets."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject
from optcore.spec.networks.base import Shape


class DatasetSpec(Spec):
    """The base of all datasets, with the fields that define how examples are put into batches."""

    kind: str
    """Name of the dataset."""

    # 100 is the batch size of Paddle's comparison of optimizers, whose network is mnist_cnn.
    batch_size: int = Field(100, ge=1, le=65_536, json_schema_extra={"unit": "examples"})
    """Number of examples per batch; the last batch of an epoch may be smaller."""
    shuffle: bool = True
    """Whether every epoch has a new random order, derived from the run's seed; false for the order
    of the files."""

    @property
    def train_examples(self) -> int:
        """Number of training examples."""
        raise NotImplementedError

    @property
    def test_examples(self) -> int:
        """Number of examples held out for evaluation."""
        raise NotImplementedError

    @property
    def shape(self) -> Shape:
        """Shape of one example: (channels, height, width)."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        """Number of different labels."""
        raise NotImplementedError

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
