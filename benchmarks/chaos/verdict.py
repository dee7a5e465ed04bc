"""Checks each job after a soak test: nothing lost or repeated, equal bits, no long silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import MetricRow
from optserve.contract.states import State

ENDINGS = frozenset({"succeeded", "failed", "cancelled"})
Window = tuple[float, float]
"""Beginning and end of a period, in seconds since 1970."""


@dataclass(frozen=True)
class Story:
    """Everything that the service returns about a job."""

    job: Job
    rows: list[MetricRow]
    events: list[Event]


def wrongs(story: Story, undisturbed: Story) -> Iterator[str]:
    """Yield descriptions of errors in a job, compared with an undisturbed job of its kind."""
    job = story.job
    if job.state is not State.SUCCEEDED:
        yield f"it is {job.state}: {job.reason}: {job.detail} ({_history(story.events)})"
        return
    yield from _wrong_rows(story.rows, undisturbed.rows)
    if job.digest != undisturbed.job.digest:
        yield f"its digest is {job.digest}, not {undisturbed.job.digest}"
    yield from _holes(story.events, job.attempt)


def _wrong_rows(rows: Sequence[MetricRow], wanted: Sequence[MetricRow]) -> Iterator[str]:
    steps = [row.step for row in rows]
    if steps != [row.step for row in wanted]:
        yield f"its {len(rows)} rows are not the steps 0 to {len(wanted) - 1}, once each, in order"
        return
    differing = [row.step for row, other in zip(rows, wanted, strict=True) if row != other]
    if differing:
        yield f"lr or loss differs at {len(differing)} steps, first at step {differing[0]}"


def _holes(events: Sequence[Event], attempts: int) -> Iterator[str]:
    if [event.id for event in events] != list(range(1, len(events) + 1)):
        yield "its history has holes"
    begun = [event.data["attempt"] for event in events if event.kind == "started"]
    if begun != list(range(1, attempts + 1)):
        yield f"its history tells of attempts {begun}, and there were {attempts}"
    endings = [event.kind for event in events if event.kind in ENDINGS]
    if endings != ["succeeded"] or events[-1].kind != "succeeded":
        yield f"its history ends {endings}"


def _history(events: Sequence[Event]) -> str:
    """Return a job's history as text: the time, kind and reason of each event."""
    told = (f"{event.at:%H:%M:%S.%f} {event.kind} {event.data.get('why', '')}" for event in events)
    return "; ".join(each.rstrip() for each in told)


def silence_s(events: Sequence[Event], away: Sequence[Window], *, lease_s: float) -> float:
    """
    Return the longest time, in seconds, for which a running job had no new history entry.

    Periods in which the API or the store was unavailable are not counted, nor is the lease that
    follows each of them, in which workers may report again.
    """
    longest = 0.0
    for event, following in pairwise(events):
        if event.kind in ("submitted", "requeued", "paused", "resumed"):
            continue  # it waits for its turn
        longest = max(longest, _counted(event, following, away, lease_s))
    return longest


def standstill(
    stories: Sequence[Story], away: Sequence[Window], *, lease_s: float
) -> tuple[float, Event | None]:
    """
    Return the longest time, in seconds, for which a job waited and no job had an event.

    The second value is the last event before that time.
    """
    events = sorted((event for story in stories for event in story.events), key=lambda e: e.at)
    longest, waiting, last = 0.0, 0, None
    for event, following in pairwise(events):
        waiting += event.kind in ("submitted", "requeued")
        waiting -= event.kind == "started"
        silent = _counted(event, following, away, lease_s) if waiting else 0.0
        if silent > longest:
            longest, last = silent, event
    return longest, last


def _counted(first: Event, second: Event, away: Sequence[Window], lease_s: float) -> float:
    """Return the seconds between two events, without *away* and a lease after each period in it."""
    begin, end = first.at.timestamp(), second.at.timestamp()
    missing, reached = 0.0, begin
    for start, stop in sorted(away):
        since, until = max(start, reached), min(stop + lease_s, end)
        if until > since:
            missing += until - since
            reached = until
    return end - begin - missing
