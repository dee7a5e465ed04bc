"""Commands that submit jobs and show them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optserve.cli.files import read_object
from optserve.cli.options import DEFAULT_HOME, FAILED, BadOption, Home, JobId, Url, service
from optserve.cli.output import evaluations, reports
from optserve.cli.output.tables import print_table
from optserve.cli.output.terminal import err, out, visible
from optserve.contract.answers.jobs import ListedJob
from optserve.contract.states import State

MAX_LIMIT = 1000
COLUMNS = ["job", "state", "step", "test", "name"]
"""Columns of a list of jobs; in a narrow terminal only the last one is truncated."""


def submit(
    file: Annotated[Path, typer.Argument(help="The job as JSON; - for standard input.")],
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job to its end.")] = False,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="Requests with one key and equal jobs create one job. Default: new."),
    ] = None,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Submit a job."""
    spec = read_object(file)
    with service(url, home) as client:
        # Requested before submitting, because the response to a submission has no warnings.
        for warning in client.validate(spec).warnings:
            err.say(f"warning: {warning}", style="yellow")
        job = client.submit(spec, idempotency_key=idempotency_key)
        out.say(f"{job.id}  {client.url}/v1/jobs/{job.id}")
        if follow and not reports.follow_and_report(client, job, out):
            raise typer.Exit(FAILED)


def jobs(
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Only jobs with the label NAME=VALUE; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_LIMIT)] = 20,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """List jobs, newest first."""
    labels = dict(_pair(text) for text in label or [])
    with service(url, home) as client:
        page = client.jobs(state=state, labels=labels, limit=limit)
        found, unreadable = page.data, page.unreadable
        while page.has_more and len(found) < limit:  # a page of large jobs has fewer
            left = limit - len(found)
            page = client.jobs(state=state, labels=labels, after=str(page.next), limit=left)
            found, unreadable = [*found, *page.data], [*unreadable, *page.unreadable]
    print_table(out, COLUMNS, [_cells(job) for job in found])
    for job in unreadable:
        err.say(f"{visible(job.id)} cannot be read: {visible(job.detail)}")
    if page.has_more:
        err.say(f"there are more jobs; list them with --limit {min(MAX_LIMIT, 2 * limit)}")


def checkpoints(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """List the stored checkpoints of a job."""
    with service(url, home) as client:
        found = client.checkpoints(job_id)
    rows = [
        [
            str(checkpoint.step),
            "missing" if checkpoint.size is None else str(checkpoint.size),
            "best" if checkpoint.best else "",
            checkpoint.sha256,
        ]
        for checkpoint in found
    ]
    print_table(out, ["step", "bytes", "best", "sha256"], rows)


def show(
    job_id: JobId,
    follow: Annotated[
        bool, typer.Option(help="Show further entries of the history until the job ends.")
    ] = False,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show a job: its state, charts of its lr and loss, its evaluations, and its history."""
    with service(url, home) as client:
        reports.print_facts(client.job(job_id), out)
        reports.print_charts(client, job_id, out)
        entries = client.follow_events(job_id) if follow else client.events(job_id)
        reports.print_history(entries, out)


def _cells(job: ListedJob) -> list[str]:
    """Return the row of *job* in the table of jobs."""
    return [
        job.id,
        f"{job.state}: {job.reason}" if job.reason else str(job.state),
        f"{job.step}/{job.total_steps}",
        evaluations.brief(job.result.test) if job.result else "",
        job.name,
    ]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadOption(f"--label must be NAME=VALUE, got {text!r}")
    return name, value
