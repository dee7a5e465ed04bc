"""A model of a job, and what an attempt at it computes."""

from __future__ import annotations

from dataclasses import dataclass

from optserve.contract.states import State
from store.jobs.calls import Claim
from store.jobs.series import Row
from store.redis.constants import MAX_CRASHES

STEPS = 10
TENANTS = ("local", "other")
WORKERS = ("w1", "w2", "w3")
STRENGTH = {"": 0, "pause": 1, "cancel": 2, "kill": 3}


def row(number: int, step: int) -> Row:
    """The row that any attempt at job *number* computes for *step*."""
    return (number + step / 10, 1 / (1 + number + step))


@dataclass
class Model:
    """A job as it should be."""

    id: str
    tenant: str
    number: int
    priority: int
    limited: bool
    over: bool = False
    gone: bool = False
    archived: bool = False
    state: State = State.QUEUED
    request: str = ""
    held: Claim | None = None
    last: Claim | None = None
    worker: str = ""
    rows: int = 0
    checkpoint: int = 0
    claim_checkpoint: int = 0
    crashes: int = 0
    events: int = 1
    moved: int = 0

    def leaves(self, state: State) -> None:
        """Go from running to *state*."""
        self.last, self.held, self.over = self.held, None, False
        self.state, self.request, self.events = state, "", self.events + 1

    @property
    def requested_action(self) -> str:
        """What its worker is told to do."""
        return self.request or ("timeout" if self.over else "")

    def taken_back(self, *, crashed: bool) -> None:
        """Lose its worker."""
        if self.checkpoint > self.claim_checkpoint:
            self.crashes = 0
        if self.request in ("cancel", "kill"):
            return self.leaves(State.CANCELLED)
        if self.request == "pause":
            return self.leaves(State.PAUSED)
        if self.over:
            return self.leaves(State.FAILED)
        self.crashes += crashed
        self.leaves(State.FAILED if self.crashes >= MAX_CRASHES else State.QUEUED)
        return None
