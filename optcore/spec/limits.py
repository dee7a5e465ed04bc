"""
Limits on the size of one spec. They are far above any spec used in practice, and quick to check.

Every client that reaches the service may submit a job, and the service checks the whole job before
accepting the job. These limits, which docs/limits.md lists, bound the cost of the checks.

A job that an earlier release accepted without limits is still trained: see `lifted`.
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

# Per context, not per process: the API parses specs in several threads at a time.
_lifted: ContextVar[bool] = ContextVar("lifted", default=False)

# Only upper bounds: lower bounds are rules (lr must be positive) and do not limit work. Some upper
# bounds are rules too (momentum must be at most 1), so upper bounds are ignored only for specs that
# were accepted once.
BOUNDS = {"int": "le", "float": "le"} | dict.fromkeys(("str", "list", "dict"), "max_length")
"""Maps a type in pydantic's schemas to the name of its upper bound."""

MAX_GROUPS = 500  # two for each of 200 layers, and some more
"""Largest number of parameter groups."""
MAX_NAMES = 1000  # each parameter of 200 layers by its name
"""Largest number of names and globs in all groups of a job together."""
MAX_NAME = 200
"""Largest number of characters in a parameter's name or in a glob."""
MAX_WILDCARDS = 10
"""Largest number of wildcards in a glob: each multiplies the time to compile the glob."""
# 500 globs like "conv1.*" for the 1,000 parameters of 500 layers, whose names have 40 characters;
# 40 globs for 20,000 parameters.
MAX_COMPARED = 20_000_000
"""
Largest number of characters in the names of the parameters of a network, times what the globs of
groups cost: a simple glob 1, a name without wildcards nothing (`optcore.spec.groups.globs`).
"""
MAX_ORDERED = 10_000
"""Largest number of names in ``order_params``."""
MAX_MOVED = 64
"""Largest number of hyperparameters with a schedule; no optimizer has that many hyperparameters."""
MAX_SCHEDULES = 500  # one for each group
"""Largest number of schedules in a job, including schedules that are parts of others."""
MAX_ENTRIES = 1000
"""Largest number of boundaries or milestones in one schedule."""
MAX_MOMENTS = 5000
"""Largest number of boundaries and milestones in all schedules of a job together."""
MAX_VALUES = 1_000_000
"""Largest number of entries in a list with one entry per step."""
MAX_REPEATED = 2_000_000
"""
Largest number of steps, over all schedules of a job, that are computed from the step before.

Such schedules cannot be sampled: a late step requires all earlier steps.
"""
MAX_EVALUATIONS = 100_000
"""Largest number of evaluations of a run. A chart of them reads all entries of the history once."""
MAX_COUNT = 1_000_000_000
"""Largest value of a count, such as epochs without an improvement or steps between two updates."""
MAX_FLOAT32 = (2 - 2**-23) * 2.0**127
"""The largest finite float32; a larger hyperparameter would make the weights infinite."""


def at_most(most: int, name: str) -> BeforeValidator:
    """
    Return a validator that refuses an object with more than *most* keys in the field *name*.

    The validator runs before any key is validated. pydantic would check max_length only after it
    has validated every key.
    """

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > most and not are_lifted():
            text = f"{name} must have at most {most} names, got {len(value)}"
            raise PydanticCustomError(RULE, text)
        return value

    return BeforeValidator(check)


def are_lifted() -> bool:
    """Return whether this code runs inside a `lifted` block."""
    return _lifted.get()


@contextmanager
def lifted() -> Iterator[None]:
    """Lift the limits of this module inside a ``with`` block, in this thread only."""
    before = _lifted.set(True)
    try:
        yield
    finally:
        _lifted.reset(before)


def parsed_without(cls: type[Item], data: object) -> Item:
    """Return *data* parsed as *cls* without the upper bounds on numbers and lengths."""
    return cast("Item", _unbounded(cls).validate_python(data))


@cache
def _unbounded(cls: type[BaseModel]) -> SchemaValidator:
    # An optimizer's schema is built when it is first needed.
    cls.model_rebuild()
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
