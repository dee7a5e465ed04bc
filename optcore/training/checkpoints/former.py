"""Translation of checkpoints from earlier releases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optcore.spec.former.translation import translated


def in_present_words(facts: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the facts of a checkpoint, with the spec translated to the form of this release.

    In release 0.2.0, the loss scale was a field of the optimizer and had no state. Now it is a
    field of training and has a state: the scale and two counts. A state with the old scale and
    counts of 0 is added to the facts.
    """
    present = {**facts, "spec": translated(facts["spec"])}
    scale = facts["spec"]["optimizer"].get("loss_scale", 1.0)
    if scale != 1:
        present["scaler"] = {"scale": scale, "finite": 0, "overflows": 0}
    return present
