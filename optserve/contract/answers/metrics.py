"""Metrics of every step: pages of rows, and the events of a stream."""

from __future__ import annotations

from pydantic import ConfigDict

from optserve.contract.answers.base import Page, WireModel, renamed
from optserve.contract.states import Outcome, Reason, State


class MetricRow(WireModel):
    """One step. Columns that the job asked for appear under their own names."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float]

    step: int
    """0 for the first update that was attempted."""
    lr: float
    loss: float
    """Mean over the batch, before the update."""

    def value(self, column: str) -> float:
        """Return the value of a column, which must be one of the job's."""
        return getattr(self, column)  # type: ignore[no-any-return]  # a float


class MetricsPage(Page[MetricRow]):
    """Some steps of a job."""

    truncations: int = renamed("cuts")
    """How many times steps of the job were discarded so far. Pass it back with `after`: the answer
    is a 409 if that has happened since to steps you have."""


class StreamedRows(WireModel):
    """Data of a stream's event ``rows``; the event's id is the last step."""

    columns: list[str]
    """step, lr, loss, and the further columns of the job."""
    rows: list[list[int | float]]
    """One list per step, oldest first."""


class StateChange(WireModel):
    """Data of a stream's event ``state``."""

    state: State
    attempt: int
    """How many times a worker has started the job."""


class RowsTruncated(WireModel):
    """
    Data of a stream's event ``truncated``: discard the steps from `step` on, they are sent again.

    The event's id is that of the step before.
    """

    step: int


class StreamEnd(WireModel):
    """Data of a stream's last event, ``end``."""

    state: State
    reason: Reason | None
    detail: str | None
    outcome: Outcome | None = renamed("ended", default=None)
    """How it succeeded; null if it did not."""
    rows: int
    """Number of steps of the job; equal to what was streamed if the stream began at step 0."""
    digest: str | None
