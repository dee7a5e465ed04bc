"""Schedules that are written in place of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.spec.base import Spec


def take_schedules(cls: type[Spec], data: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a copy of *data*, where each schedule in place of a number is moved to ``schedules``.

    ``{"beta1": {"kind": "linear", "value": 0.9, "end": 0.8}}`` becomes ``{"beta1": 0.9,
    "schedules": {"beta1": {"kind": "linear", "end": 0.8}}}``. Without ``value``, the schedule
    starts from the default of the field.
    """
    moved = dict(data)
    schedules = dict(data.get("schedules") or {})
    for name, value in data.items():
        field = cls.model_fields.get(name)
        # Only numbers have schedules: fields such as clip are objects themselves.
        if field is None or field.annotation is not float or not isinstance(value, Mapping):
            continue
        schedule = dict(value)
        del moved[name]
        # Without a value the field is left out, so that the default of its dialect applies.
        if "value" in schedule:
            moved[name] = schedule.pop("value")
        schedules[name] = schedule
    return {**moved, "schedules": schedules} if schedules else moved
