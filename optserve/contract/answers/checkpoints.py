"""Checkpoints of a job."""

from __future__ import annotations

from typing import Literal

from optserve.contract.answers.base import WireModel


class Checkpoint(WireModel):
    """A stored state of a run: one from which the job can continue, or the best state so far."""

    object: Literal["checkpoint"] = "checkpoint"
    step: int
    """Number of steps that the run had made when the state was saved."""
    sha256: str
    """SHA-256 of the checkpoint's manifest, a file that contains the SHA-256 of each other file."""
    size: int | None
    """Size of all files of the checkpoint, in bytes; null if they are missing from the storage of
    this service."""
    best: bool
    """Whether this is the best state so far."""
