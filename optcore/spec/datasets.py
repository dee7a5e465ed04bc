"""Datasets: what a run trains and is tested on. Sizes and checksums are known without loading."""

from __future__ import annotations

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.errors import reject
from optcore.spec.layers import Shape

MNIST_IDX_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of each file of MNIST, unpacked."""

MNIST_JSON_FILE = "mnist.json.gz"
"""Name of MNIST in the form of Paddle's tutorials."""


class DatasetSpec(Spec):
    """What all datasets share: how their examples are served."""

    kind: str
    """Which dataset."""

    batch_size: int = Field(100, ge=1, le=65_536, json_schema_extra={"unit": "examples"})
    """Examples per update; the last batch of an epoch may be smaller."""
    shuffle: bool = True
    """A new order every epoch, from the run's seed; false for the order of the files."""

    @property
    def train_examples(self) -> int:
        """Number of examples trained on."""
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

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the training examples."""
        return ceil(self.train_examples / self.batch_size)

    @model_validator(mode="after")
    def _a_batch_fits(self) -> Self:
        if self.batch_size > self.train_examples:
            reject(
                ["batch_size"],
                f"batch_size must be at most the {self.train_examples} training examples, "
                f"got {self.batch_size}",
                self.batch_size,
            )
        return self


class Mnist(DatasetSpec):
    """
    Handwritten digits, 28x28 grey pixels in 0..1.

    Read from the data directory: as the four IDX files (60,000 to train on, 10,000 to test), or
    as ``mnist.json.gz`` (50,000, 10,000 unused, 10,000).

    References:
        LeCun, Cortes and Burges, The MNIST Database of Handwritten Digits, 1998.
    """

    kind: Literal["mnist"]
    source: Literal["idx", "json.gz"] = "idx"
    """Which files: the four IDX files, or mnist.json.gz."""

    @property
    def train_examples(self) -> int:
        """60,000 in the IDX files, 50,000 in mnist.json.gz."""
        return 60_000 if self.source == "idx" else 50_000

    @property
    def test_examples(self) -> int:
        """10,000."""
        return 10_000

    @property
    def shape(self) -> Shape:
        """(1, 28, 28)."""
        return (1, 28, 28)

    @property
    def num_classes(self) -> int:
        """Ten digits."""
        return 10


class Digits(DatasetSpec):
    """
    Handwritten digits, 8x8 grey pixels in 0..1, as scikit-learn ships them: no download.

    The first 1,500 are trained on, the last 297 (by other writers) tested.

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, 1998.
        https://doi.org/10.24432/C50P49
    """

    kind: Literal["digits"]

    @property
    def train_examples(self) -> int:
        """1,500."""
        return 1_500

    @property
    def test_examples(self) -> int:
        """297."""
        return 297

    @property
    def shape(self) -> Shape:
        """(1, 8, 8)."""
        return (1, 8, 8)

    @property
    def num_classes(self) -> int:
        """Ten digits."""
        return 10


AnyDataset = Annotated[Mnist | Digits, Field(discriminator="kind")]
"""One of the datasets, told apart by `kind`."""

DATASETS: dict[str, type[DatasetSpec]] = {"digits": Digits, "mnist": Mnist}
"""Every dataset by its name."""
