"""
Translate specs of releases up to 0.2.0, in which some fields had another place.

Stored records and checkpoints still have the fields in their former places::

    up to 0.2.0                   today
    training.clip                 optimizer.clip
    optimizer.loss_scale          training.loss_scale, of kind fixed with drop_overflow false
    optimizer.average             training.ema, of kind keras
    optimizer.schedules.lr        schedule
    groups[i].schedules.lr        groups[i].schedule
    groups[i].lr (a schedule)     groups[i].schedule

A spec that a client posts is not translated: there, a field in its former place is an error
(`optcore.spec.former.places`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from optcore.spec.duration import rounding
from optcore.spec.evaluation import choosing_by_test
from optcore.spec.former.places import fixed_loss_scale, keras_ema
from optcore.spec.groups.groups import Group
from optcore.spec.optimizers.catalogue import OPTIMIZERS

Json = dict[str, Any]


@contextmanager
def former_rules() -> Iterator[None]:
    """
    Parse specs inside a ``with`` block as releases up to 0.2.0 did.

    Durations are rounded (`optcore.spec.duration.rounding`), and runs evaluate and choose by the
    test examples (`optcore.spec.evaluation.choosing_by_test`).
    """
    with rounding(), choosing_by_test():
        yield


def translated(stored: Mapping[str, Any]) -> Json:
    """
    Return *stored*, JSON of a spec from any release, with all fields in their present places.

    Defaults are neither added nor removed. A spec with two moving averages, which 0.2.0 accepted,
    keeps ``optimizer.average``. Parsing such a spec raises an error about that field.
    """
    run = dict(stored)
    if not all(isinstance(run.get(part), Mapping) for part in ("optimizer", "training")):
        return run  # not a spec: parsing it raises the error
    run["optimizer"], run["training"] = dict(run["optimizer"]), dict(run["training"])
    _translate_clip(run["optimizer"], run["training"])
    _translate_loss_scale(run["optimizer"], run["training"])
    _translate_average(run["optimizer"], run["training"])
    _translate_lr(run, run["optimizer"])
    return run


def with_former_defaults(spec: Mapping[str, Any]) -> Json:
    """
    Return the dumped *spec* with the default values of the fields that this release has removed.

    The previous release wrote specs in this form. During an upgrade, a worker of that release may
    have to resume the run. The worker requires that the spec in a checkpoint be exactly equal to
    the spec of the run.
    """
    optimizer = {**spec["optimizer"], "loss_scale": 1.0, "average": None}
    return {**spec, "optimizer": optimizer, "training": {**spec["training"], "clip": None}}


def _translate_clip(optimizer: Json, training: Json) -> None:
    clip = training.pop("clip", None)
    if clip is not None:
        optimizer["clip"] = clip


def _translate_loss_scale(optimizer: Json, training: Json) -> None:
    scale = fixed_loss_scale(optimizer.pop("loss_scale", 1.0))
    if scale is not None:
        training["loss_scale"] = scale


def _translate_average(optimizer: Json, training: Json) -> None:
    average = keras_ema(optimizer.get("average"))
    if average is None:
        optimizer.pop("average", None)
    elif training.get("ema") is None:
        del optimizer["average"]
        training["ema"] = average


def _translate_lr(run: Json, optimizer: Json) -> None:
    shared = _taken(optimizer)
    groups = optimizer.get("groups")
    if isinstance(groups, list):
        optimizer["groups"] = [_group(dict(group), optimizer, shared) for group in groups]
    if shared is not None:
        run["schedule"] = shared


def _taken(fields: Json) -> Any:  # noqa: ANN401
    """Remove the schedule of lr from ``schedules`` in *fields*, and return that schedule."""
    schedules = fields.get("schedules")
    if not isinstance(schedules, Mapping) or "lr" not in schedules:
        return None
    fields["schedules"] = {name: value for name, value in schedules.items() if name != "lr"}
    return schedules["lr"]


def _group(group: Json, optimizer: Json, shared: object) -> Json:
    """
    Return *group* with the schedule of its lr in the field ``schedule``.

    *shared* is the optimizer's schedule of lr. In 0.2.0 this schedule also applied to groups that
    set neither lr nor schedules.
    """
    own = _taken(group)
    lr = group.get("lr")
    if isinstance(lr, Mapping):
        own = {name: value for name, value in lr.items() if name != "value"}
        group["lr"] = lr["value"] if "value" in lr else _default_lr(optimizer)
    if own is None and shared is not None and ("lr" in group or "schedules" in group):
        own = {"kind": "constant"}  # in 0.2.0 the shared schedule did not apply to such a group
    if own is not None and group.get("schedule") is None:
        group["schedule"] = _with_defaults(own)
    return group


def _default_lr(optimizer: Json) -> Any:  # noqa: ANN401
    fields = OPTIMIZERS[optimizer["kind"]].model_fields
    dialect = optimizer.get("dialect", fields["dialect"].default)
    return fields["lr"].get_default(call_default_factory=True, validated_data={"dialect": dialect})


def _with_defaults(schedule: Json) -> Json:
    group = Group.parse_accepted({"match": "*", "schedule": schedule})
    return group.model_dump(mode="json", include={"schedule"})["schedule"]  # type: ignore[no-any-return]
