"""Error messages about fields that have moved: each message names the present place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optcore.spec.errors import reject, short_json

FormerPlace = Callable[[object], str]
"""A function from the value of a field in its former place to the error message about the field."""


def clip_is_of_the_optimizer(value: object) -> str:
    """Return the error message about the field ``training.clip`` with the value *value*."""
    return f"clip belongs to the optimizer: write optimizer.clip: {short_json(value)}"


def loss_scale_is_of_the_training(value: object) -> str:
    """Return the error message about the field ``optimizer.loss_scale`` with the value *value*."""
    return (
        f"loss_scale belongs to the training: write training.loss_scale: "
        f"{short_json(fixed_loss_scale(value))}; without a job, pass it to "
        "make_optimizer(loss_scale=)"
    )


def average_is_of_the_training(value: object) -> str:
    """Return the error message about the field ``optimizer.average`` with the value *value*."""
    return (
        f"average belongs to the training: write training.ema: {short_json(keras_ema(value))}; "
        "without a job, pass it to make_optimizer(ema=)"
    )


def fixed_loss_scale(scale: object) -> dict[str, Any] | None:
    """Return the ``training.loss_scale`` that has the effect of ``optimizer.loss_scale``."""
    return None if scale == 1 else {"kind": "fixed", "scale": scale, "drop_overflow": False}


def keras_ema(average: object) -> dict[str, Any] | None:
    """Return the ``training.ema`` that has the effect of ``optimizer.average``."""
    if average is None:
        return None
    given = average if isinstance(average, Mapping) else {}
    renamed = {"decay" if name == "momentum" else name: given[name] for name in given}
    return {"kind": "keras", **renamed}


def reject_schedule_of_lr(fields: Mapping[str, Any], group: int | None = None) -> None:
    """
    Raise an error, inside a validator, if the *fields* of an optimizer contain a schedule of lr.

    Args:
        fields: the fields of the optimizer, or of one of its groups.
        group: index of the group; None if the fields are those of the optimizer.
    """
    where: list[str | int] = [] if group is None else ["groups", group]
    lr, schedules = fields.get("lr"), fields.get("schedules")
    if isinstance(lr, Mapping):
        schedule = {name: value for name, value in lr.items() if name != "value"}
        number = f"lr: {short_json(lr['value'])} and " if "value" in lr else ""
        reject([*where, "lr"], _schedule_of_lr(number, schedule, group), lr)
    if isinstance(schedules, Mapping) and "lr" in schedules:
        text = _schedule_of_lr("", schedules["lr"], group)
        reject([*where, "schedules", "lr"], text, schedules["lr"])


def _schedule_of_lr(number: str, schedule: object, group: int | None) -> str:
    given = short_json(schedule)
    if group is None:
        return (
            f"the schedule of lr is not part of the optimizer: write {number}schedule: {given} "
            "beside optimizer; without a job, pass it to make_optimizer(schedule=)"
        )
    return f"the lr of a group has a field for its schedule: write {number}schedule: {given}"
