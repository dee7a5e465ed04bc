"""
Limits of one spec: far above anything that is trained, and quick to check.

Every client that reaches the service may submit a job; all of it is checked before it is accepted.
These limits bound the cost; docs/limits.md lists them. A job that an earlier release accepted
without them is still trained (`lifted`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, BeforeValidator
from pydantic_core import CoreSchema, PydanticCustomError, SchemaValidator

from optcore.spec.errors import RULE

Item = TypeVar("Item", bound=BaseModel)

# Of a context, not of the process: the API parses specs in several threads at a time.
_lifted: ContextVar[bool] = ContextVar("lifted", default=False)

# Only upper bounds: lower ones are rules (lr must be positive) and limit no work. Some upper ones
# are rules too (a momentum of at most 1), so only specs that were accepted once go without them.
BOUNDS = {"int": "le", "float": "le"} | dict.fromkeys(("str", "list", "dict"), "max_length")
"""Type -> its upper bound, in pydantic's schemas."""

MAX_GROUPS = 500  # two for each of the 200 layers that a model may have, and some
"""Groups of parameters."""
MAX_NAMES = 1000  # each parameter of 200 layers by its name
"""Names and globs in all groups of a job together."""
MAX_NAME = 200
"""Characters of a parameter's name, or of a glob."""
MAX_WILDCARDS = 10
"""Of one glob: each multiplies the time to compile it."""
MAX_ORDERED = 10_000
"""Names in an order of parameters."""
MAX_MOVED = 64
"""Hyperparameters that have a schedule; no optimizer has so many."""
MAX_SCHEDULES = 500  # one for each group
"""Schedules in a job, including those that are parts of others."""
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
    Return a validator that refuses, in the field *name*, an object of more than *most* names.

    It runs before the names are validated; pydantic checks max_length only after all of them.
    """

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > most and not are_lifted():
            text = f"{name} must have at most {most} names, got {len(value)}"
            raise PydanticCustomError(RULE, text)
        return value

    return BeforeValidator(check)


def are_lifted() -> bool:
    """Return whether the limits are lifted in this context."""
    return _lifted.get()


@contextmanager
def lifted() -> Iterator[None]:
    """Lift the limits of this module within a ``with``, in this thread."""
    before = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(before)


def parsed_without(cls: type[Item], data: object) -> Item:
    """Return *data* as *cls*, without its upper bounds of numbers and lengths."""
    return cast("Item", _unbounded(cls).validate_python(data))


@cache
def _unbounded(cls: type[BaseModel]) -> SchemaValidator:
    # pydantic has no switch for bounds, but it can make a validator of a changed schema.
    schema = cast("CoreSchema", _without_bounds(cls.__pydantic_core_schema__))
    return SchemaValidator(schema, None, _use_prebuilt=False)


def _without_bounds(schema: Any) -> Any:  # noqa: ANN401
    if isinstance(schema, list):
        return [_without_bounds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    bound = BOUNDS.get(schema["type"]) if isinstance(schema.get("type"), str) else None
    return {name: _without_bounds(part) for name, part in schema.items() if name != bound}
