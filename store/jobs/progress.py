"""The progress of a job."""

from __future__ import annotations

from typing import NamedTuple

from optserve.contract.states import State

PROGRESS = ("state", "rows", "attempt", "cuts", "rev")
"""Fields of a record that a `Progress` is made from."""


class Progress(NamedTuple):
    """
    How far a job has progressed.

    Attributes:
        state: the job's state.
        rows: the number of rows (steps) that are stored.
        attempt: the number of times that a worker has claimed the job.
        truncations: for each time that rows were truncated, the number of the first row removed.
        events: the number of entries in the job's history.
    """

    state: State
    rows: int
    attempt: int
    truncations: list[int]
    events: int
