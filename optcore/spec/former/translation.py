"""
Translate specs of releases up to 0.2.0, in which some fields had another place.

Stored records and checkpoints still have the fields in their former places::

    up to 0.2.0                   today
    training.clip                 optimizer.clip
    optimizer.loss_scale          training.loss_scale, of kind fixed with drop_overflow false
    optimizer.average             training.ema, of kind keras
    optimizer.schedules.lr        schedule
    groups[i].schedules.lr, .lr   groups[i].schedule

A spec that a client posts is not translated: a field in its former place is then an error
(`optcore.spec.former.places`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from optcore.schedules.base import ScheduleSpec
from optcore.schedules.families.late_decay import WarmupStableDecay
from optcore.schedules.families.linear import Linear
from optcore.schedules.families.one_cycle import OneCycle
from optcore.schedules.families.piecewise import Constant, Piecewise
from optcore.schedules.families.polynomial import Polynomial
from optcore.schedules.warmup import Warmup
from optcore.spec.duration import Epochs, RunLength, Share
from optcore.spec.former.places import fixed_loss_scale, keras_ema
from optcore.spec.groups.groups import Group
from optcore.spec.later import LaterSpec
from optcore.spec.optimizers.base import NEWER, OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.optimizers.clip import ClipAdaptive, ClipRms
from optcore.spec.weights import KerasEma, ShadowEma

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec

Json = dict[str, Any]

LATER_DIALECTS = frozenset({"transformers", "optax", "timm"})
"""Dialects that 0.2.0 does not have."""
LATER_OPTIMIZERS = frozenset(
    (
        *("acprop", "adabelief", "adan", "ademamix", "adopt", "cocob", "fromage", "laprop"),
        *("madgrad", "mars", "novograd", "optimistic_gradient_descent", "rmsprop_tf"),
        *("schedule_free_sgd", "sign_sgd", "signum", "simplified_ademamix", "sm3", "yogi"),
    )
)
"""Optimizers that 0.2.0 does not have."""
LATER_FORMS = frozenset({("muon", "article")})
"""Other pairs of kind and dialect that 0.2.0 does not have."""
FORMER_RISES = frozenset({"linear", "cosine", "exponential", "constant"})
FORMER_FALLS = frozenset({"linear", "cosine", "one_minus_sqrt", "one_minus_square"})
"""Shapes of a warmup, and of the fall of wsd, that 0.2.0 has."""
CONSTANT = Constant(kind="constant")


def translated(stored: Mapping[str, Any]) -> Json:
    """
    Return *stored*, a spec's JSON from this or an earlier release, with all fields in their places.

    Defaults are neither added nor removed. A spec with two moving averages, which 0.2.0 accepted,
    keeps ``optimizer.average``: parsing it raises an error about that field.
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


def is_former(run: RunSpec) -> bool:
    """
    Return whether release 0.2.0 accepts *run*, and computes it in the same way.

    False where that is not certain: it costs only that workers of 0.2.0 leave the job alone.
    """
    if has_fractions(run):
        return False
    # The first step size of rprop is the lr of the first update; in 0.2.0 it is that of the spec.
    if run.optimizer.kind == "rprop" and run.schedule != CONSTANT:
        return False
    ema = run.training.ema
    if isinstance(ema, KerasEma) or (isinstance(ema, ShadowEma) and ema.ramp is not None):
        return False
    return all(_is_former_itself(part, run.length) for part, _ in _parts(run))


def has_fractions(run: RunSpec) -> bool:
    """Return whether a duration in a schedule is neither a whole number of steps nor rounded."""
    return any(
        isinstance(part, Epochs) and not part.is_rounded and part.epochs * epoch % 1 != 0
        for part, epoch in _parts(run)
    )


def _is_former_itself(part: BaseModel, length: RunLength) -> bool:
    """Return whether 0.2.0 has *part*, whatever is nested in it, and computes the same."""
    kind, dialect = getattr(part, "kind", ""), getattr(part, "dialect", "")
    if dialect in LATER_DIALECTS or (kind, dialect) in LATER_FORMS:
        return False
    if isinstance(part, LaterSpec) and part.later_fields():
        return False
    if isinstance(part, ScheduleSpec) and not all(map(_is_former_inside, part.parts)):
        return False
    match part:
        case Share() | ClipRms() | ClipAdaptive():
            return False
        case OptimizerSpec():
            newer = any(getattr(part, name, None) for name in NEWER)
            return kind not in LATER_OPTIMIZERS and not newer
        case Warmup():
            within = 1 <= length.span(part.length) < length.total_steps
            return part.shape in FORMER_RISES and within
        case WarmupStableDecay():
            return part.shape in FORMER_FALLS
        case OneCycle():  # 0.2.0 refuses a rise of less than a step
            return 0 < part.pct_start < 1 and part.pct_start * length.span(part.length) > 1
        case Polynomial():
            return not part.cycle or dialect != "tf1"
        case Linear():  # 0.2.0 divides by a start of 0
            return (dialect, part.precision) != ("torch", "float32")
        case Piecewise():  # 0.2.0 refuses equal boundaries, and a boundary at step 0
            steps = [0, *(length.steps(boundary) for boundary in part.boundaries)]
            return all(before < after for before, after in pairwise(steps))
    return True


def _is_former_inside(inner: ScheduleSpec) -> bool:
    """Return whether no rule of 0.2.0 for *inner* depends on the length of the part it fills."""
    return inner.warmup is None and not isinstance(inner, (OneCycle, Piecewise))


def _parts(run: RunSpec) -> Iterator[tuple[BaseModel, int]]:
    """Yield the specs in the optimizer, its groups and the schedule, with the steps per epoch."""
    groups = enumerate(run.optimizer.groups)
    for part in (
        run.optimizer,
        *(run.optimizer.of_group(i, group) for i, group in groups),
        run.schedule,
    ):
        yield from _nested(part, run.steps_per_epoch)


def _nested(value: object, epoch: int) -> Iterator[tuple[BaseModel, int]]:
    """Yield *value* and all specs nested in it, each with its number of steps per epoch."""
    inside: Iterable[object] = ()
    if isinstance(value, BaseModel):
        yield value, epoch
        inside = [getattr(value, name) for name in type(value).model_fields]
        if getattr(value, "kind", "") == "per_epoch":
            epoch = 1
    elif isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, (list, tuple)):
        inside = value
    for each in inside:
        if not isinstance(each, (int, float, str)):  # a list may have a million numbers
            yield from _nested(each, epoch)


def with_former_defaults(spec: Mapping[str, Any]) -> Json:
    """
    Return the dumped *spec* with the default values of the fields that this release has removed.

    The previous release wrote specs in this form. During an upgrade it may have to resume the run,
    and it requires that the spec in a checkpoint be exactly equal to the spec of the run.
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

    *shared* is the optimizer's schedule of lr, which applied to the group's lr unless the group
    set lr or schedules itself.
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
