"""Reports on one job: its facts, its chart and its history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from optserve.cli.output import evaluations, live, pictures
from optserve.cli.output.tables import print_table
from optserve.cli.output.terminal import Terminal, visible
from optserve.client import Client
from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job, Parent
from optserve.contract.states import State


def print_facts(job: Job, terminal: Terminal) -> None:
    """Print the facts of a job, one per line."""
    for name, value in _facts(job).items():
        terminal.say(f"{name:<12} {visible(value)}")


def print_charts(client: Client, job_id: str, terminal: Terminal) -> None:
    """Print charts of the lr and loss of all steps of a job, and a table of its evaluations."""
    found = client.chart(job_id, columns=list(pictures.HEIGHTS))
    for line in pictures.job_chart(found, terminal.width):
        terminal.say(line)
    if found.evaluations_unreadable:
        terminal.say(f"the evaluations cannot be read: {visible(found.evaluations_unreadable)}")
    rows = evaluations.table(client, found)
    if rows:
        print_table(terminal, evaluations.HEADER, rows)


def print_history(events: Iterable[Event], terminal: Terminal) -> None:
    """Print a line for each entry of a job's history; in a terminal, long lines are truncated."""
    for event in events:
        data = ", ".join(f"{name} {value}" for name, value in event.data.items())
        line = visible(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<16} {data}")
        if terminal.is_terminal:
            terminal.print(line, overflow="ellipsis", no_wrap=True)
        else:
            terminal.say(line)


def follow_and_report(client: Client, job: Job, terminal: Terminal) -> bool:
    """Follow a job to its end, then print its charts and facts; return whether it succeeded."""
    try:
        end = live.follow(client, job, terminal)
    except KeyboardInterrupt:
        terminal.say(f"the job continues; `optserve cancel {job.id}` would end it")
        raise
    print_charts(client, job.id, terminal)
    print_facts(client.job(job.id), terminal)
    return end.state is State.SUCCEEDED


def _facts(job: Job) -> dict[str, str]:
    """Return the facts of *job* that are known, as name -> text."""
    optimizer, schedule = job.spec.get("optimizer", {}), job.spec.get("schedule", {})
    found = {
        "job": job.id,
        "name": job.name,
        "labels": ", ".join(f"{name}={value}" for name, value in job.labels.items()),
        "state": f"{job.state}: {job.reason}: {job.detail}" if job.reason else str(job.state),
        "steps": f"{job.step} of {job.total_steps}"
        + (", stopped early" * (job.outcome == "early_stopped")),
        "optimizer": f"{optimizer.get('kind')} ({optimizer.get('dialect')}), "
        f"lr {optimizer.get('lr')}",
        "schedule": f"{schedule.get('kind')}" + (" after a warmup" * bool(schedule.get("warmup"))),
        "stalled": f"{job.stalled_s:.1f} s, waiting for the store" if job.stalled_s else "",
        "bits": "" if job.bitwise else "not those of one uninterrupted run",
        "queue": _queue_position(job),
        "waits for": _awaited(job),
    }
    if job.parent:
        found["starts with"] = (
            f"{job.parent.keep} of {job.parent.job} after {job.parent.step} steps"
            f"{_mapped(job.parent)}"
        )
        found["warning"] = "; ".join(job.parent.warnings)
    if job.best:
        found["best"] = f"{job.best.metric} {job.best.value:.6g} after {job.best.step} steps"
    if job.result:
        found["test"] = _listed(job.result.test)
        found["test of best"] = _listed(job.result.best.test) if job.result.best else ""
    found["digest"] = job.digest or ""
    return {name: value for name, value in found.items() if value}


def _mapped(parent: Parent) -> str:
    """
    Return, as text, which weights of *parent* a job takes, and under which names.

    The text is empty if the job takes all weights under their own names.
    """
    prefixes = [f"{each.source or 'all'} as {each.to or 'all'}" for each in parent.prefixes]
    parts = {"": prefixes, "fresh ": parent.fresh, "without ": parent.omit}
    told = [f"{word}{', '.join(part)}" for word, part in parts.items() if part]
    return f" ({'; '.join(told)})" if told else ""


def _listed(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())


def _queue_position(job: Job) -> str:
    if job.queue_position is None:
        return ""
    return f"{job.queue_position} jobs before it" if job.queue_position else "next"


def _awaited(job: Job) -> str:
    match job.waiting_for:
        case None:
            return ""
        case "worker":
            return f"a worker with device {job.spec.get('training', {}).get('device')}"
        case "fingerprint":
            offers = " or ".join(f"optserve {offer} {job.id}" for offer in job.offers)
            return "a worker that computes the same bits" + (f"; or: {offers}" if offers else "")
        case "machine":
            return f"a healthy machine{f': {job.fault}' if job.fault else ''}"
        case _:
            assert_never(job.waiting_for)
