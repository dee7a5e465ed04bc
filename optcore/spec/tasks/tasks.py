"""Tasks: what a run learns to predict, which follows from the dataset's targets and the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Task = Literal[
    "classification", "multi_label", "regression", "sequence", "language_model", "minimization"
]
"""
What a run learns to predict for an example.

classification: one class. multi_label: any number of labels. regression: numbers. sequence: a
sequence of classes, shorter than the sequence of outputs (CTC). language_model: the next token at
every position. minimization: nothing; the point at which a function is smallest is sought.
"""

TASKS: tuple[Task, ...] = get_args(Task)

MAX_DIMENSIONS = 10_000
"""Largest number of dimensions of a function."""
MAX_START = 1e6
"""Largest size of a coordinate from which a point starts."""

Function = Literal["quadratic", "rosenbrock", "valley"]


@dataclass(frozen=True)
class Objective:
    """
    A function of a point x. The docstring of the dataset with the same name has the formula.

    Attributes:
        function: which function.
        size: the number of coordinates of x.
        condition: the largest curvature; 1 for rosenbrock, which has no such field.
    """

    function: Function
    size: int
    condition: float = 1.0

    @property
    def minimum(self) -> float:
        """The value of every coordinate at the minimum, where the function is 0."""
        return 1.0 if self.function == "rosenbrock" else 0.0

    @property
    def start(self) -> list[float]:
        """The point from which a run starts if the job gives no other point."""
        match self.function:
            case "quadratic":
                return [1.0] * self.size
            case "rosenbrock":
                # Moré, Garbow and Hillstrom, Testing Unconstrained Optimization Software, 1981.
                return [1.0 if i % 2 else -1.2 for i in range(self.size)]
            case "valley":
                return [10.0, *[1.0] * (self.size - 1)]

    @property
    def curvatures(self) -> list[float]:
        """The second derivative of quadratic along each coordinate."""
        if self.size == 1:
            return [self.condition]
        return [float(self.condition ** (i / (self.size - 1))) for i in range(self.size)]


@dataclass(frozen=True)
class Target:
    """
    The targets of a dataset: what is to be predicted for its examples.

    The targets of n examples are a tensor::

        classification   int64 (n,): the class, from 0
        multi_label      float32 (n, size): 1 for each label that the example has, else 0
        regression       float32 (n, size)
        sequence         int64 (n, longest): the classes, from 0, followed by -1
        language_model   int64 (n, longest): the next token of each position, from 0
        minimization     float32 (n, size): what the example adds to the gradient of the function

    Attributes:
        task: the task for which these targets are meant.
        size: the number of classes, labels, numbers, tokens or dimensions.
        longest: the largest number of classes (sequence) or tokens (language_model) in one example;
            1 for the other tasks.
        bytes_per_token: the mean number of bytes of text in a token.
        objective: the function to minimize; None for all tasks but minimization.
    """

    task: Task
    size: int
    longest: int = 1
    bytes_per_token: float = 1.0
    objective: Objective | None = None

    @property
    def words(self) -> str:
        """The targets in words, for messages: ``10 classes``."""
        noun = {
            "classification": "classes",
            "multi_label": "labels",
            "regression": "numbers",
            "sequence": "classes",
            "language_model": "tokens",
            "minimization": "dimensions",
        }[self.task]
        return f"{self.size} {noun[:-1] if self.size == 1 and noun != 'classes' else noun}"
