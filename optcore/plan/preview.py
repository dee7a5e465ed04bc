"""The request for a preview: a schedule, and the run and groups to draw it for."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from optcore.schedules.base import ScheduleSpec, too_many
from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS, RunLength
from optcore.spec.errors import reject

MAX_PREVIEWED = 500_000
"""Values in one preview, those of all groups together."""

# 18.6 million, of 2,048 steps for 100 groups, took 0.9 to 2.6 s.
MAX_COST = 20_000_000
"""Values computed for one preview, those of the parts of its schedules counted."""

BaseLr = Annotated[float, Field(gt=0, json_schema_extra={"unit": "lr"})]


class PreviewGroup(Spec):
    """A group of parameters with an lr of its own."""

    name: str = Field(min_length=1, max_length=100)
    """What it is called in the answer: printable, and no formula where a table is opened."""
    lr: BaseLr | None = None
    """Its lr, absolute; null for the preview's."""
    lr_scale: float = Field(1.0, gt=0)
    """What its lr is multiplied with."""
    schedule: AnySchedule | None = None
    """Its schedule; null for the preview's."""


class PreviewSpec(Spec):
    """A schedule to draw, and the length of the run to draw it for."""

    schedule: AnySchedule
    """What to draw."""
    lr: BaseLr
    """What it starts from."""
    total_steps: int = Field(ge=1, le=MAX_PREVIEWED)
    """Updates in the run."""
    steps_per_epoch: int = Field(1, ge=1, le=MAX_STEPS)
    """Updates in an epoch, for durations in epochs."""
    groups: list[PreviewGroup] = Field(default_factory=list, max_length=100)
    """Groups of parameters; the preview itself is what the others have."""

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        # Validators run in the order in which they stand: each bounds the work of those after it.
        values = self.total_steps * (1 + len(self.groups))
        if values > MAX_PREVIEWED:
            reject(
                ["total_steps"],
                f"total_steps must come to at most {MAX_PREVIEWED} values over all groups, "
                f"got {self.total_steps} for {1 + len(self.groups)}",
                self.total_steps,
            )
        return self

    @model_validator(mode="after")
    def _names_are_used_once(self) -> Self:
        # A preview can be had as a table, whose columns these are.
        names = {"lr", "step"}
        for i, group in enumerate(self.groups):
            if group.name in names:
                reject(
                    ["groups", i, "name"],
                    f"name must be used once, and not be lr or step, got {group.name!r}",
                    group.name,
                )
            # Spreadsheets compute a cell of a CSV file that begins so.
            if not group.name.isprintable() or group.name[0] in "=+-@":
                reject(
                    ["groups", i, "name"],
                    f"name must be printable and not begin with one of = + - @, got {group.name!r}",
                    group.name,
                )
            names.add(group.name)
        return self

    @model_validator(mode="after")
    def _are_not_too_many(self) -> Self:
        schedules = [self.schedule, *(g.schedule for g in self.groups if g.schedule is not None)]
        why = too_many(schedules)
        if why is not None:
            reject(["schedule"], why, None)
        return self

    @model_validator(mode="after")
    def _schedules_fit(self) -> Self:
        for path, message, value in self.schedule.problems_in(self.length):
            reject(["schedule", *path], message, value)
        for i, group in enumerate(self.groups):
            problems = group.schedule.problems_in(self.length) if group.schedule else ()
            for path, message, value in problems:
                reject(["groups", i, "schedule", *path], message, value)
        return self

    @model_validator(mode="after")
    def _is_computed_soon(self) -> Self:
        cost = self.cost()
        if cost > MAX_COST:
            reject(
                ["schedule"],
                f"schedule must come to at most {MAX_COST} values in a preview, those of all "
                f"parts, of all groups and of steps left out together, got {cost}",
                self.schedule.kind,
            )
        return self

    @property
    def length(self) -> RunLength:
        """The length of the run."""
        return RunLength(self.total_steps, self.steps_per_epoch)

    def cost(self) -> int:
        """Return how many values are computed for all curves, those of their parts counted."""
        return sum(schedule.cost(self.length) for _, schedule, _ in self.curves())

    def curves(self) -> list[tuple[str, ScheduleSpec, float]]:
        """Return name, schedule and lr of each curve: first what has no group."""
        found: list[tuple[str, ScheduleSpec, float]] = [("lr", self.schedule, self.lr)]
        for group in self.groups:
            # An lr is never 0 (BaseLr), so `or` replaces only null.
            lr = (group.lr or self.lr) * group.lr_scale
            found.append((group.name, group.schedule or self.schedule, lr))
        return found
