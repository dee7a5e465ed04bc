"""Tasks: what a run learns to predict, which follows from the dataset's targets and the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Task = Literal["classification", "multi_label", "regression", "sequence", "language_model"]
"""
What a run learns to predict for an example.

classification: one class. multi_label: any number of labels. regression: numbers. sequence: a
sequence of classes, shorter than the sequence of outputs (CTC). language_model: the next token at
every position.
"""

TASKS: tuple[Task, ...] = get_args(Task)


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

    Attributes:
        task: the task for which these targets are meant.
        size: the number of classes, labels, numbers or tokens.
        longest: the largest number of classes (sequence) or tokens (language_model) in one example;
            1 for the other tasks.
        bytes_per_token: the mean number of bytes of text in a token.
    """

    task: Task
    size: int
    longest: int = 1
    bytes_per_token: float = 1.0

    @property
    def words(self) -> str:
        """The targets in words, for messages: ``10 classes``."""
        noun = {
            "classification": "classes",
            "multi_label": "labels",
            "regression": "numbers",
            "sequence": "classes",
            "language_model": "tokens",
        }[self.task]
        return f"{self.size} {noun[:-1] if self.size == 1 and noun != 'classes' else noun}"
