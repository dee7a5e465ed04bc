"""A text file that the operator of the service provides, read as bytes."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.errors import reject
from optcore.spec.layers.base import TOKENS, Shape, TensorSpec
from optcore.spec.tasks.tasks import Target

NUM_BYTES = 256
"""Number of different bytes."""
TOKEN_BYTES = 8
"""Bytes that a token of an example takes in memory."""
MAX_LENGTH = 65_536
"""Largest number of positions of a window."""
MAX_WINDOWS = 10_000_000
"""Largest number of windows in an epoch."""
MAX_EVALUATED = 2**25
"""Largest number of tokens in the windows for validation and test together."""


class Text(DatasetSpec):
    """
    Windows of a text, for networks that predict the next byte; a token is a byte.

    The text is a file that the operator puts into the folder ``text`` of the data directory, such
    as ``text/bible.txt``. The last part of the file (test_share) is for test, the part before it
    (validation_share) for validation, and the rest for training. An example is a window of
    *length* bytes. The target of each byte is the byte after it.

    With shuffle, each window for training begins at a random byte of the part for training. The
    byte depends on the seed of the run, the epoch and the number of the window in the epoch.
    Without shuffle, windows for training begin at equal distances, and are the same in every epoch.
    Windows for validation and test always begin at equal distances, and do not overlap.

    A job is accepted before the file is read. A worker refuses a file that is missing or too short
    for the windows. If the field sha256 is given, the worker also refuses a file with another
    SHA-256. If it is null, the worker refuses a file that has changed since the run began.
    """

    kind: Literal["text"]
    # One name, no folder, and nothing hidden.
    file: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=200)
    """Name of the file, without folders."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the file, in hexadecimal; null to accept any file of this name."""
    length: int = Field(256, ge=1, le=MAX_LENGTH, json_schema_extra={"unit": "bytes"})
    """Number of positions of a window."""
    train_windows: int = Field(10_000, ge=1, le=MAX_WINDOWS)
    """Number of windows in an epoch of training."""
    validation_windows: int = Field(256, ge=0, le=MAX_WINDOWS)
    """Number of windows for validation; 0 for no validation."""
    test_windows: int = Field(256, ge=1, le=MAX_WINDOWS)
    """Number of windows for test."""
    validation_share: float = Field(0.05, ge=0, lt=1)
    """Share of the file that is for validation; 0 for no validation."""
    test_share: float = Field(0.05, gt=0, lt=1)
    """Share of the file that is for test."""

    @field_validator("validation")
    @classmethod
    def _is_a_part_of_the_file(cls, given: float | None) -> None:
        # Windows for training overlap, so that one that is held out would be seen in others.
        if given is not None:
            text = "validation must be null for text, which has validation_windows of their own"
            reject([], f"{text}, got {given}", given)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if (self.validation_windows == 0) != (self.validation_share == 0):
            reject(
                ["validation_share"],
                "validation_share and validation_windows must both be 0, or both be positive, got "
                f"{self.validation_share} and {self.validation_windows}",
                self.validation_share,
            )
        if self.validation_share + self.test_share >= 1:
            reject(
                ["test_share"],
                "test_share must leave a part for training, got "
                f"{self.test_share} with validation_share {self.validation_share}",
                self.test_share,
            )
        evaluated = (self.validation_windows + self.test_windows) * self.length
        if evaluated > MAX_EVALUATED:
            reject(
                ["test_windows"],
                f"test_windows and validation_windows must have at most {MAX_EVALUATED} bytes "
                f"together, got {evaluated}",
                self.test_windows,
            )
        return self

    @property
    def all_train_examples(self) -> int:
        """Number of windows in an epoch."""
        return self.train_windows

    @property
    def own_validation_examples(self) -> int:
        """Number of windows for validation."""
        return self.validation_windows

    @property
    def test_examples(self) -> int:
        """Number of windows for test."""
        return self.test_windows

    @property
    def content(self) -> str:
        """Version of the examples: the file's SHA-256 or name, and the shares of the splits."""
        return f"{self.sha256 or self.file}, {self.validation_share}, {self.test_share}"

    @property
    def value_bytes(self) -> int:
        """Bytes of a token in memory: 8."""
        return TOKEN_BYTES

    @property
    def memory_bytes(self) -> int:
        """Bytes of the windows for validation and test, without the file, whose size is unknown."""
        return (self.validation_windows + self.test_windows) * 2 * self.length * TOKEN_BYTES

    @property
    def shape(self) -> Shape:
        """Shape of one example: (length,)."""
        return (self.length,)

    @property
    def input(self) -> TensorSpec:
        """Tokens (length,)."""
        return TensorSpec(self.shape, TOKENS, integers=True)

    @property
    def target(self) -> Target:
        """The byte that follows each position, one of 256."""
        return Target("language_model", NUM_BYTES, self.length)
