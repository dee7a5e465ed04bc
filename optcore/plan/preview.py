"""The request for a preview: compute the lr curves of a schedule without starting a job."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from optcore.schedules.base import ScheduleSpec, too_many
from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS, RunLength
from optcore.spec.errors import reject

MAX_PREVIEWED = 500_000
"""Largest number of values in one preview, over all groups."""

# 18.6 million values (2,048 steps for 100 groups) took 0.9 to 2.6 s.
MAX_COST = 20_000_000
"""Largest number of values computed for one preview, including those of nested schedules."""

BaseLr = Annotated[float, Field(gt=0, json_schema_extra={"unit": "lr"})]


class PreviewGroup(Spec):
    """A group of parameters with an lr curve of its own."""

    name: str = Field(min_length=1, max_length=100)
    """Name of the group's curve in the response. It must be printable and must not begin with
    = + - or @, since spreadsheets would read it as a formula."""
    lr: BaseLr | None = None
    """Learning rate of the group; null for the preview's lr."""
    lr_scale: float = Field(1.0, gt=0)
    """Factor that multiplies the learning rate of the group."""
    schedule: AnySchedule | None = None
    """Schedule of the group; null for the preview's schedule."""


class PreviewSpec(Spec):
    """A request for a preview: a schedule, the length of the run and the groups of parameters."""

    schedule: AnySchedule
    """Schedule to preview."""
    lr: BaseLr
    """Learning rate that the schedule starts from."""
    total_steps: int = Field(ge=1, le=MAX_PREVIEWED)
    """Number of updates in the run."""
    steps_per_epoch: int = Field(1, ge=1, le=MAX_STEPS)
    """Number of updates in an epoch, for durations in epochs."""
    groups: list[PreviewGroup] = Field(default_factory=list, max_length=100)
    """Groups of parameters with curves of their own. Parameters in no group have the preview's lr
    and schedule."""

    @model_validator(mode="after")
    def _is_not_too_large(self) -> Self:
        # Validators run in the order of their definition: each bounds the work of the later ones.
        values = self.total_steps * (1 + len(self.groups))
        if values > MAX_PREVIEWED:
            reject(
                ["total_steps"],
                f"total_steps must give at most {MAX_PREVIEWED} values over all curves, got "
                f"{self.total_steps} steps for {1 + len(self.groups)} curves",
                self.total_steps,
            )
        return self

    @model_validator(mode="after")
    def _names_are_used_once(self) -> Self:
        # A client can request the preview as a table, in which these are the names of columns.
        names = {"lr", "step"}
        for i, group in enumerate(self.groups):
            if group.name in names:
                reject(
                    ["groups", i, "name"],
                    f"name must be unique, and must not be lr or step, got {group.name!r}",
                    group.name,
                )
            # Spreadsheets evaluate a cell of a CSV file that begins with one of these characters.
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
                f"schedule must compute at most {MAX_COST} values in a preview, got {cost} (for "
                "all groups, nested schedules and steps that a shift skips); preview fewer steps, "
                "groups or nested schedules, or use a smaller shift",
                self.schedule.kind,
            )
        return self

    @property
    def length(self) -> RunLength:
        """The length of the run."""
        return RunLength(self.total_steps, self.steps_per_epoch)

    def cost(self) -> int:
        """
        Return the number of values that must be computed for all curves.

        The number includes the values of schedules that are inside other schedules.
        """
        return sum(schedule.cost(self.length) for _, schedule, _ in self.curves())

    def curves(self) -> list[tuple[str, ScheduleSpec, float]]:
        """
        Return (name, schedule, lr) of each curve.

        The first curve is that of parameters in no group; it is named lr.
        """
        found: list[tuple[str, ScheduleSpec, float]] = [("lr", self.schedule, self.lr)]
        for group in self.groups:
            # An lr is never 0 (BaseLr), so `or` replaces only null.
            lr = (group.lr or self.lr) * group.lr_scale
            found.append((group.name, group.schedule or self.schedule, lr))
        return found
