"""Functions to minimize, which show the path of an optimizer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from optcore.spec.datasets.base import DatasetSpec
from optcore.spec.errors import reject
from optcore.spec.layers.base import Shape
from optcore.spec.tasks.tasks import MAX_DIMENSIONS, Objective, Target

MAX_EXAMPLES = 1_000_000
"""Largest number of examples in an epoch."""
MAX_NUMBER = 1e6
"""Largest condition, and largest noise."""
KEY_BYTES = 8
"""Bytes of the key from which the noise of an example is drawn."""
NUMBER_BYTES = 4
"""Bytes of a number of noise."""


class ObjectiveSpec(DatasetSpec):
    """
    The base of datasets that are a function to minimize.

    The model begins with a point x, and the loss is objective: a run trains x itself. An example of
    the dataset is noise, a vector of normal numbers that is added to the gradient of the function.
    This noise depends only on the seed of the run, the epoch and the number of the example. Without
    shuffle, every epoch has the examples of the first epoch.

    Evaluations have no noise: validation and test have one example each, a vector of zeros.
    """

    SOURCE: ClassVar[str] = "objectives"

    batch_size: int = Field(1, ge=1, le=65_536, json_schema_extra={"unit": "examples"})
    """Number of examples per batch, whose noise is averaged; the last batch of an epoch may be
    smaller."""
    examples: int = Field(1000, ge=1, le=MAX_EXAMPLES)
    """Number of examples in an epoch."""
    noise: float = Field(0.0, ge=0, le=MAX_NUMBER)
    """Standard deviation of what an example adds to each coordinate of the gradient."""

    @field_validator("validation")
    @classmethod
    def _has_no_noise(cls, given: float | None) -> None:
        if given is not None:
            text = "validation must be null for a function, whose evaluations have no noise"
            reject([], f"{text}, got {given}", given)

    @property
    def objective(self) -> Objective:
        """The function to minimize."""
        raise NotImplementedError

    @property
    def all_train_examples(self) -> int:
        """Number of examples in an epoch."""
        return self.examples

    @property
    def own_validation_examples(self) -> int:
        """Number of validation examples: 1, without noise."""
        return 1

    @property
    def test_examples(self) -> int:
        """Number of test examples: 1, without noise."""
        return 1

    @property
    def content(self) -> str:
        """Version of the examples: the standard deviation of the noise."""
        return f"noise {self.noise}"

    @property
    def memory_bytes(self) -> int:
        """Bytes of an epoch's random keys, and of the examples for validation and test."""
        return KEY_BYTES * self.examples + 2 * NUMBER_BYTES * self.objective.size

    @property
    def shape(self) -> Shape:
        """Shape of one example: (dimensions,)."""
        return (self.objective.size,)

    @property
    def target(self) -> Target:
        """The function, and the number of its dimensions."""
        objective = self.objective
        return Target("minimization", objective.size, objective=objective)


class Quadratic(ObjectiveSpec):
    """
    A quadratic function, whose curvatures along the coordinates of x grow from 1 to condition.

    ::

        f(x) = sum_i a_i * x_i^2 / 2
        a_i  = condition^((i - 1) / (dimensions - 1))        i from 1 to dimensions

    With one dimension, a_1 is condition. The smallest value of f is 0, at x = 0. The model point
    starts at 1 in every coordinate. Gradient descent converges for lr < 2 / condition.
    """

    kind: Literal["quadratic"]
    dimensions: int = Field(2, ge=1, le=MAX_DIMENSIONS)
    """Number of coordinates of x."""
    condition: float = Field(100.0, ge=1, le=MAX_NUMBER)
    """Largest curvature; with more than one dimension it is the condition number."""

    @property
    def objective(self) -> Objective:
        """The function to minimize."""
        return Objective("quadratic", self.dimensions, self.condition)


class Rosenbrock(ObjectiveSpec):
    """
    Rosenbrock's function: a curved valley with steep walls and an almost level floor.

    ::

        f(x) = sum_i 100 * (x_(i+1) - x_i^2)^2 + (1 - x_i)^2        i from 1 to dimensions - 1

    The smallest value of f is 0, where every coordinate is 1. The model point starts at (-1.2, 1,
    -1.2, 1, ...). From 4 dimensions on there is a second, local minimum near (-1, 1, 1, ...).

    References:
        Rosenbrock, An Automatic Method for Finding the Greatest or Least Value of a Function, 1960.
        scipy.optimize.rosen.
    """

    kind: Literal["rosenbrock"]
    dimensions: int = Field(2, ge=2, le=MAX_DIMENSIONS)
    """Number of coordinates of x."""

    @property
    def objective(self) -> Objective:
        """The function to minimize."""
        return Objective("rosenbrock", self.dimensions)


class Valley(ObjectiveSpec):
    """
    A straight valley with steep walls, whose floor falls gently to the minimum, with noise.

    ::

        f(x) = sqrt(1 + x_1^2) - 1 + condition * sum_i x_i^2 / 2        i from 2 to dimensions

    The floor is the axis of x_1. Its slope is below 1, however far the minimum is. The curvature
    along all other axes is condition. With a large lr, x_1 comes closer to the minimum in each
    step, while noise keeps the other coordinates away from 0. The loss shows this progress only
    once lr has decayed. The smallest value of f is 0, at x = 0. The model point starts at
    (10, 1, 1, ...).

    References:
        The picture is that of Wen et al., Understanding Warmup-Stable-Decay Learning Rates: A River
        Valley Loss Landscape Perspective, 2024. https://arxiv.org/abs/2410.05192
    """

    kind: Literal["valley"]
    dimensions: int = Field(2, ge=2, le=MAX_DIMENSIONS)
    """Number of coordinates of x: one along the valley, all others across."""
    condition: float = Field(100.0, ge=1, le=MAX_NUMBER)
    """Curvature across the valley; the largest along it is 1."""
    noise: float = Field(1.0, ge=0, le=MAX_NUMBER)
    """Standard deviation of what an example adds to each coordinate of the gradient."""

    @property
    def objective(self) -> Objective:
        """The function to minimize."""
        return Objective("valley", self.dimensions, self.condition)
