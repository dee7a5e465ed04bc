"""The MNIST dataset."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target

MNIST_IDX_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Maps the name of each MNIST file to the SHA-256 of its unpacked content."""

MNIST_JSON_FILE = "mnist.json.gz"
"""Name of the file in which Paddle's tutorials provide MNIST."""
TARGET = Target("classification", 10)


class Mnist(DatasetSpec):
    """
    Handwritten digits of 28x28 grey pixels in 0..1, read from the data directory.

    The data are in four IDX files or in one file, ``mnist.json.gz``. The IDX files have 60,000
    training and 10,000 test examples. ``mnist.json.gz`` has 50,000 training, 10,000 validation and
    10,000 test examples.

    References:
        LeCun, Cortes and Burges, The MNIST Database of Handwritten Digits, 1998.
    """

    kind: Literal["mnist"]
    source: Literal["idx", "json.gz"] = "idx"
    """Files to read: idx for the four IDX files, json.gz for mnist.json.gz."""

    @property
    def all_train_examples(self) -> int:
        """Number of training examples: 60,000 in the IDX files, 50,000 in mnist.json.gz."""
        return 60_000 if self.source == "idx" else 50_000

    @property
    def own_validation_examples(self) -> int:
        """Number of validation examples: 10,000 in mnist.json.gz, none in the IDX files."""
        return 0 if self.source == "idx" else 10_000

    @property
    def test_examples(self) -> int:
        """Number of test examples: 10,000."""
        return 10_000

    @property
    def content(self) -> str:
        """
        Version of the examples.

        For the IDX files, the version is the SHA-256 of the SHA-256 digests of the four files. For
        mnist.json.gz, whose content is not checked by a digest, the version is always ``"1"``.
        """
        if self.source != "idx":
            return super().content
        return sha256("".join(MNIST_IDX_FILES.values()).encode()).hexdigest()

    @property
    def value_bytes(self) -> int:
        """Bytes of a pixel: 1 (uint8) from the IDX files, 4 from mnist.json.gz."""
        return 1 if self.source == "idx" else super().value_bytes

    @property
    def shape(self) -> Shape:
        """Shape of one example: (1, 28, 28)."""
        return (1, 28, 28)

    @property
    def target(self) -> Target:
        """One of 10 classes, the digits."""
        return TARGET
