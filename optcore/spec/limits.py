"""
How much one spec may ask for: far above anything that is trained, and computed in a blink.

A job may be posted by anybody who reaches the service, and all of it is looked at before it is
accepted. These numbers bound what that costs; docs/limits.md lists them for people.
"""

from __future__ import annotations

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from optcore.spec.errors import RULE

MAX_GROUPS = 500
"""Groups of parameters."""
MAX_NAMES = 1000
"""Names and globs in all groups of a job together."""
MAX_NAME = 200
"""Characters of a parameter's name, or of a glob."""
MAX_WILDCARDS = 10
"""Of one glob: each multiplies what it takes to compile it."""
MAX_ORDERED = 10_000
"""Names in an order of parameters."""
MAX_MOVED = 64
"""Hyperparameters that have a schedule; no optimizer has so many."""
MAX_SCHEDULES = 500
"""Schedules in a job, those that are parts of others counted."""
MAX_ENTRIES = 1000
"""Boundaries, milestones or values that hold from one to the next, of one schedule."""
MAX_MOMENTS = 5000
"""The same of all schedules of a job together."""
MAX_VALUES = 1_000_000
"""Entries of a list that has one for every step."""
MAX_REPEATED = 2_000_000
"""Steps that the schedules of a job compute each from the one before: they cannot be sampled."""
MAX_COUNT = 1_000_000_000
"""Of whatever is counted: epochs without an improvement, steps between two updates."""
MAX_FLOAT32 = (2 - 2**-23) * 2.0**127
"""The largest number that a float32 holds: with a larger one weights are infinite."""


def at_most(most: int, name: str) -> BeforeValidator:
    """
    Return what refuses, in the field *name*, an object of more than *most* names.

    Before it looks at them: max_length is asked for after every name was found wrong.
    """

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > most:
            text = f"{name} must have at most {most} names, got {len(value)}"
            raise PydanticCustomError(RULE, text)
        return value

    return BeforeValidator(check)
