"""How many schedules there may be, those that others are made of counted."""

from __future__ import annotations

from collections.abc import Iterable

from optcore.schedules.base import ScheduleSpec
from optcore.spec.limits import MAX_MOMENTS, MAX_SCHEDULES


def too_many(schedules: Iterable[ScheduleSpec]) -> str | None:
    """Return what there is too much of in *schedules*, if there is."""
    number = moments = 0
    for schedule in schedules:
        for part in schedule.whole():
            number, moments = number + 1, moments + part.num_moments
    if number > MAX_SCHEDULES:
        return (
            f"there must be at most {MAX_SCHEDULES} schedules, those that others are made of "
            f"counted, got {number}"
        )
    if moments > MAX_MOMENTS:
        return (
            f"schedules must have at most {MAX_MOMENTS} boundaries and milestones, all together, "
            f"got {moments}"
        )
    return None
