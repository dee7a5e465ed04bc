"""What stays of a spec when a clone changes the kind of a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.base import Spec, fields_of, kind_of
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.loss_scale import AnyLossScale
from optcore.spec.models.catalogue import MODELS
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.optimizers.clip import AnyClip, UpdateClip
from optcore.spec.tasks.losses import LOSSES
from optcore.spec.weights import AnyEma


def _by_kind(union: Any) -> Mapping[str, type[Spec]]:  # noqa: ANN401  a form of annotation
    """Return the members of *union*, an annotated union of specs, by their kinds."""
    members = (
        get_args(each)[0] if get_args(each) else each for each in get_args(get_args(union)[0])
    )
    return {kind_of(member): member for member in members}


KINDS: Mapping[str, Mapping[str, type[Spec]]] = {
    "clip": _by_kind(AnyClip),
    "clip_update": _by_kind(UpdateClip),
    "dataset": DATASETS,
    "ema": _by_kind(AnyEma),
    "loss": LOSSES,
    "loss_scale": _by_kind(AnyLossScale),
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""Maps the name of a field to the kinds of its values, and each kind to its class."""
WITH_SCHEDULES = {"optimizer", "ema", "schedules"}
"""Names of fields in whose values all other fields may have schedules: hyperparameters."""
LENGTHS = {"steps": "epochs", "epochs": "steps"}
"""Maps each field for the length of a training to the one that it excludes."""


def without_unknown(
    posted: Any,  # noqa: ANN401  any JSON
    changes: Any,  # noqa: ANN401
    field: str = "",
    around: str = "",
) -> Any:  # noqa: ANN401
    """
    Return *posted* without the fields that only its kinds have, where *changes* has other kinds.

    The ``length`` of a cosine, for example, is left out if *changes* makes the schedule a shift,
    which has no such field. Fields that both kinds have stay. Likewise, of ``steps`` and ``epochs``
    of a training one is left out if *changes* has the other.

    Args:
        posted: a spec as it was posted, or a part of it.
        changes: a merge patch for *posted*.
        field: the name of the field that has the value *posted*.
        around: the name of the field whose value has *field*.
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
        given = {LENGTHS[name] for name in LENGTHS if changes.get(name) is not None}
        posted = {
            name: value for name, value in posted.items() if name not in given - changes.keys()
        }
    return {
        name: without_unknown(value, changes.get(name), name, field)
        for name, value in posted.items()
    }
