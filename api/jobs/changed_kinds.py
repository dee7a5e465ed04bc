"""Removes the fields of a spec that become unknown when a clone changes a kind in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.packages.kinds import by_kind
from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.base import Spec, fields_of
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.loss_scale import AnyLossScale
from optcore.spec.models.catalogue import MODELS
from optcore.spec.models.crnn import Backbone
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.optimizers.clip import AnyClip, UpdateClip
from optcore.spec.tasks.losses import LOSSES
from optcore.spec.weights import AnyEma

Json = Any
"""Parsed JSON."""
KINDS: Mapping[str, Mapping[str, type[Spec]]] = {
    "backbone": by_kind(Backbone, Spec),
    "clip": by_kind(AnyClip, Spec),
    "clip_update": by_kind(UpdateClip, Spec),
    "dataset": DATASETS,
    "ema": by_kind(AnyEma, Spec),
    "loss": LOSSES,
    "loss_scale": by_kind(AnyLossScale, Spec),
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""Maps the name of a field to the kinds of its values, and each kind to its class."""
WITH_SCHEDULES = {"optimizer", "ema", "schedules"}
"""Names of fields in whose values all other fields may have schedules: hyperparameters."""
LENGTHS = {"steps": "epochs", "epochs": "steps"}
"""Maps each field for the length of a training to the one that it excludes."""


def without_unknown(posted: Json, changes: Json, field: str = "", around: str = "") -> Json:
    """
    Return *posted* without the fields that become unknown if *changes* changes a kind.

    The ``length`` of a cosine, for example, is left out if *changes* makes the schedule a shift,
    which has no such field. Fields that both kinds have stay. A training has either ``steps`` or
    ``epochs``: if *changes* has one of the two, the other is left out.

    Args:
        posted: a spec as it was posted, or a part of it.
        changes: a merge patch for *posted*.
        field: the name of the field that has the value *posted*.
        around: the name of the field that contains *field*.
    """
    if not (isinstance(posted, Mapping) and isinstance(changes, Mapping)):
        return posted
    kind = changes.get("kind")
    kinds = KINDS.get(field, SCHEDULES if around in WITH_SCHEDULES else {})
    if isinstance(kind, str) and kind in kinds and kind != posted.get("kind"):
        # A schedule in place of a number may have the number as its value.
        known = {*fields_of(kinds[kind]), *(() if field in KINDS else ("value",))}
        posted = {name: value for name, value in posted.items() if name in known}
    if field == "training":
        # Not where *changes* names both: what it says of each counts.
        given = {LENGTHS[name] for name in LENGTHS if changes.get(name) is not None}
        posted = {
            name: value for name, value in posted.items() if name not in given - changes.keys()
        }
    return {
        name: without_unknown(value, changes.get(name), name, field)
        for name, value in posted.items()
    }
