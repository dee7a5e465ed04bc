"""The facts about a dataset that the plan of a run depends on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target

as_text = json.JSONEncoder(sort_keys=True).encode
DIGEST_CHARS = 12
"""Length of a digest in a plan, in hexadecimal digits: 48 bits, against mistakes alone."""


@dataclass(frozen=True)
class DatasetFacts:
    """
    The facts about a dataset that a plan depends on; they are known without loading the dataset.

    Attributes:
        kind: name of the dataset.
        content: version of the examples, for example a digest of their files; see
            `DatasetSpec.content`.
        train_examples: number of examples to train on.
        validation_examples: number of validation examples.
        test_examples: number of test examples.
        shape: shape of one example.
        target: what a network learns to predict for an example, such as one of 10 classes.
    """

    kind: str
    content: str
    train_examples: int
    validation_examples: int
    test_examples: int
    shape: Shape
    target: Target

    @classmethod
    def of(cls, spec: DatasetSpec) -> DatasetFacts:
        """Return the facts about the dataset that *spec* describes."""
        return _facts_of(spec)

    @property
    def digest(self) -> str:
        """Digest of all facts."""
        return _digest_of(self)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Number of training, validation and test examples."""
        return self.train_examples, self.validation_examples, self.test_examples


# Most jobs of a service have one of a few datasets, and each submission needs both.
@lru_cache(maxsize=256)
def _facts_of(spec: DatasetSpec) -> DatasetFacts:
    return DatasetFacts(
        spec.kind,
        spec.content,
        spec.train_examples,
        spec.validation_examples,
        spec.test_examples,
        spec.shape,
        spec.target,
    )


@lru_cache(maxsize=256)
def _digest_of(facts: DatasetFacts) -> str:
    fields = asdict(facts)
    # Plans that are stored may be older than the functions to minimize.
    if facts.target.objective is None:
        del fields["target"]["objective"]
    return digest(fields)


def digest(value: object) -> str:
    """Return a short digest of *value*, which must be representable as JSON."""
    return hashlib.sha256(as_text(value).encode()).hexdigest()[:DIGEST_CHARS]
