"""The diabetes patients that scikit-learn ships."""

from __future__ import annotations

from typing import Literal

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import Target


class Diabetes(DatasetSpec):
    """
    Ten measurements of 442 patients, and the progression of the disease a year later (25 to 346).

    The data come with scikit-learn: no download. The first 354 patients are training examples, the
    last 88 are test examples. Each measurement is standardized by its mean and standard deviation
    over the training examples. The target is not standardized.

    References:
        Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, 2004.
        sklearn.datasets.load_diabetes(scaled=False).
    """

    kind: Literal["diabetes"]

    @property
    def all_train_examples(self) -> int:
        """Number of training examples: 354."""
        return 354

    @property
    def test_examples(self) -> int:
        """Number of test examples: 88."""
        return 88

    @property
    def shape(self) -> Shape:
        """Shape of one example: (10,)."""
        return (10,)

    @property
    def target(self) -> Target:
        """One number, the progression of the disease."""
        return Target("regression", 1)
