"""What stays of a spec when a clone changes the kind of a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.base import Spec, fields_of
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.models.catalogue import MODELS
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.tasks.losses import LOSSES

KINDS: Mapping[str, Mapping[str, type[Spec]]] = {
    "dataset": DATASETS,
    "loss": LOSSES,
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
"""Maps the name of a field to the kinds of its values, and each kind to its class."""


def without_unknown(posted: Any, changes: Any, field: str = "") -> Any:  # noqa: ANN401  any JSON
    """
    Return *posted* without the fields that only its kinds have, where *changes* has other kinds.

    The ``length`` of a cosine, for example, is left out if *changes* makes the schedule a shift,
    which has no such field. Fields that both kinds have stay.

    Args:
        posted: a spec as it was posted, or a part of it.
        changes: a merge patch for *posted*.
        field: the name of the field that has the value *posted*.
    """
    if not (isinstance(posted, Mapping) and isinstance(changes, Mapping)):
        return posted
    kind, kinds = changes.get("kind"), KINDS.get(field, {})
    if isinstance(kind, str) and kind in kinds and kind != posted.get("kind"):
        known = fields_of(kinds[kind])
        posted = {name: value for name, value in posted.items() if name in known}
    return {name: without_unknown(value, changes.get(name), name) for name, value in posted.items()}
