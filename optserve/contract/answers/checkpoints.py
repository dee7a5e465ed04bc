"""Checkpoints of a job."""

from __future__ import annotations

from typing import Literal

from optserve.contract.answers.base import WireModel


class Checkpoint(WireModel):
    """A stored state of a run: to continue from, or because it was the best."""

    object: Literal["checkpoint"] = "checkpoint"
    step: int
    """Number of steps made before it."""
    sha256: str
    """Of its manifest, which holds the digests of its other files."""
    size: int | None
    """Bytes of all its files; null if they are missing from this service's storage."""
    best: bool
    """Whether it is the best state so far."""
