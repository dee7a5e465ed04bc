"""Jobs as the command shows them: a list, the facts of one, its picture, its history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from optserve.cli.output import live, pictures
from optserve.cli.output.tables import print_table
from optserve.cli.output.terminal import Terminal, visible
from optserve.client import Client
from optserve.contract.answers.checkpoints import Checkpoint
from optserve.contract.answers.history import Event
from optserve.contract.answers.jobs import Job, ListedJob
from optserve.contract.states import State


def jobs(found: Sequence[ListedJob], terminal: Terminal) -> None:
    """Print a line per job; on a narrow terminal only names are cut."""
    header = ["job", "state", "step", "accuracy", "name"]
    rows = [
        [
            job.id,
            f"{job.state}: {job.reason}" if job.reason else str(job.state),
            f"{job.step}/{job.total_steps}",
            f"{job.result.test_accuracy:.2%}" if job.result else "",
            job.name,
        ]
        for job in found
    ]
    print_table(terminal, header, rows)


def facts(job: Job, terminal: Terminal) -> None:
    """Print what is worth a line each."""
    for name, value in _facts(job).items():
        terminal.say(f"{name:<12} {visible(value)}")


def picture(client: Client, job_id: str, terminal: Terminal) -> None:
    """Print lr and loss of every step, drawn."""
    found = client.chart(job_id, columns=list(pictures.HEIGHTS))
    for line in pictures.of_job(found, terminal.width):
        terminal.say(line)


def history(events: Iterable[Event], terminal: Terminal) -> None:
    """Print a line per event, cut to the width of a terminal."""
    for event in events:
        data = ", ".join(f"{name} {value}" for name, value in event.data.items())
        line = visible(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<16} {data}")
        if terminal.is_terminal:
            terminal.print(line, overflow="ellipsis", no_wrap=True)
        else:
            terminal.say(line)


def follow(client: Client, job: Job, terminal: Terminal) -> bool:
    """Show a job until it ends; return whether it succeeded."""
    try:
        end = live.follow(client, job, terminal)
    except KeyboardInterrupt:
        terminal.say(f"the job goes on; `optserve cancel {job.id}` would end it")
        raise
    picture(client, job.id, terminal)
    facts(client.job(job.id), terminal)
    return end.state is State.SUCCEEDED


def checkpoints(found: Sequence[Checkpoint], terminal: Terminal) -> None:
    """Print a line per state that is kept."""
    header = ["step", "bytes", "best", "sha256"]
    rows = [
        [
            str(kept.step),
            "gone" if kept.size is None else str(kept.size),
            "best" if kept.best else "",
            kept.sha256,
        ]
        for kept in found
    ]
    print_table(terminal, header, rows)


def _facts(job: Job) -> dict[str, str]:
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
    }
    if job.stalled_s:
        found["stalled"] = f"{job.stalled_s:.1f} s, until its steps were stored"
    if not job.bitwise:
        found["bits"] = (
            "not those of one undisturbed run: it went on where they come out differently"
        )
    if job.queue_position is not None:
        found["queue"] = f"{job.queue_position} before it" if job.queue_position else "next"
    if job.waiting_for:
        found["waits for"] = _awaited(job)
    if job.parent:
        found["begins with"] = (
            f"{job.parent.keep} of {job.parent.job} after {job.parent.step} steps"
        )
    if job.best:
        found["best"] = f"{job.best.metric} {job.best.value:.6g} after {job.best.step} steps"
    if job.result:
        found["test"] = f"accuracy {job.result.test_accuracy:.2%}, loss {job.result.test_loss:.4f}"
    if job.digest:
        found["digest"] = job.digest
    return {name: value for name, value in found.items() if value}


def _awaited(job: Job) -> str:
    if job.waiting_for == "worker":
        return f"a worker with device {job.spec.get('training', {}).get('device')}"
    ways = " or ".join(f"optserve {offer} {job.id}" for offer in job.offers)
    return "a worker whose bits are those of its steps" + (f"; or: {ways}" if ways else "")
