"""The metrics of every step: pages of rows, and the events of a stream."""

from __future__ import annotations

from pydantic import ConfigDict

from optserve.contract.answers.base import Page, WireModel, renamed
from optserve.contract.states import Outcome, Reason, State


class MetricRow(WireModel):
    """The metrics of one step. Further columns that the job requests are fields of their own."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[str, float]

    step: int
    """Index of the step; the first attempted update has index 0."""
    lr: float
    loss: float
    """Mean loss over the batch, before the update."""

    def value(self, column: str) -> float:
        """Return the value of *column*, which must be one of the job's columns."""
        return getattr(self, column)  # type: ignore[no-any-return]  # a float


class MetricsPage(Page[MetricRow]):
    """One page of the steps of a job."""

    truncations: int = renamed("cuts")
    """Number of times that steps of the job have been discarded so far. Pass it back with `after`:
    if steps that you have read are discarded in the meantime, the response is a 409."""


class StreamedRows(WireModel):
    """Data of a ``rows`` event in a stream; the event id begins with the index of the last step."""

    columns: list[str]
    """Names of the columns: step, lr, loss, and the further columns of the job."""
    rows: list[list[int | float]]
    """One list of values per step, oldest step first; the values are in the order of `columns`."""


class StateChange(WireModel):
    """Data of a ``state`` event in a stream."""

    state: State
    attempt: int
    """Number of times that a worker has started the job."""


class RowsTruncated(WireModel):
    """
    Data of a ``truncated`` event in a stream: discard the steps from `step` on.

    These steps will be sent again. The event id is that of the step before `step`.
    """

    step: int


class StreamEnd(WireModel):
    """Data of the last event of a stream, ``end``."""

    state: State
    reason: Reason | None
    detail: str | None
    outcome: Outcome | None = renamed("ended", default=None)
    """How the job succeeded; null if it did not succeed."""
    rows: int
    """Number of steps of the job. If the stream began at step 0, it has sent this many steps."""
    digest: str | None
