"""Checkpoints of a release before, read as those of this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.spec.former import translated


def in_present_words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the facts of a checkpoint with its spec as this release writes it.

    A loss scale of the optimizer had no state. As one of the training it has: a scale that stays,
    and counts of overflows, which did not matter.
    """
    present = {**facts, "spec": translated(facts["spec"])}
    scale = facts["spec"]["optimizer"].get("loss_scale", 1.0)
    if scale != 1:
        present["scaler"] = {"scale": scale, "finite": 0, "overflows": 0}
    return present
