"""The `optserve` command."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from optcore.data.sources.fetch import FetchFailed
from optcore.spec.errors import SpecError
from optserve.cli import actions, clones, comparison, convert, exports, plugins, schedules
from optserve.cli import jobs as shown
from optserve.cli.files import BadFile, read_object
from optserve.cli.options import DEFAULT_HOME, FAILED, Home, JobId, Url, service
from optserve.cli.output.terminal import err, out, visible
from optserve.client.errors import ClientError
from optserve.contract.states import State
from optserve.local.errors import StackError

app = typer.Typer(
    help="Training as a service: post a job, read the lr and loss of every step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("convert")(convert.command)
app.add_typer(schedules.app, name="schedule")
plugins.add_commands(app)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The job as JSON; - for standard input.")],
    follow: Annotated[bool, typer.Option("--follow", help="Show it until it ends.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Equal keys with equal jobs are one job. Default: a new one.")
    ] = None,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Post a job."""
    spec = read_object(file)
    with service(url, home) as client:
        for warning in client.validate(spec).warnings:
            err.say(f"warning: {warning}", style="yellow")
        job = client.submit(spec, idempotency_key=idempotency_key)
        out.say(f"{job.id}  {client.url}/v1/jobs/{job.id}")
        if follow and not shown.follow(client, job, out):
            raise typer.Exit(FAILED)


@app.command()
def jobs(
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """List jobs, newest first."""
    labels = dict(_pair(text) for text in label or [])
    with service(url, home) as client:
        page = client.jobs(state=state, labels=labels, limit=limit)
        found, unreadable = page.data, page.unreadable
        while page.has_more and len(found) < limit:  # rows were long
            left = limit - len(found)
            page = client.jobs(state=state, labels=labels, after=str(page.next), limit=left)
            found, unreadable = [*found, *page.data], [*unreadable, *page.unreadable]
    shown.jobs(found, out)
    for job in unreadable:
        err.say(f"{visible(job.id)} cannot be shown: {visible(job.detail)}")
    if page.has_more:
        err.say(f"there are more; see them with --limit {min(1000, 2 * limit)}")


@app.command()
def checkpoints(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """List the states of a job that are kept."""
    with service(url, home) as client:
        shown.checkpoints(client.checkpoints(job_id), out)


@app.command()
def show(
    job_id: JobId,
    follow: Annotated[bool, typer.Option(help="Go on with its history until it ends.")] = False,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Show a job: where it stands, lr and loss of its steps, its history."""
    with service(url, home) as client:
        shown.facts(client.job(job_id), out)
        shown.picture(client, job_id, out)
        shown.history(client.follow_events(job_id) if follow else client.events(job_id), out)


app.command()(exports.metrics)
app.command()(clones.clone)
app.command()(comparison.compare)
for command in (
    actions.cancel,
    actions.kill,
    actions.pause,
    actions.resume,
    actions.restart,
    actions.accept,
):
    app.command()(command)


def main(command: typer.Typer = app) -> None:
    """Run a command; what goes wrong is a sentence, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character
    try:
        command()
    except (ClientError, SpecError, BadFile, FetchFailed, StackError) as error:
        _refuse(str(error))
    except UnicodeEncodeError as error:
        _refuse(f"{error.object!r} must be text that can be encoded")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _refuse(f"{where}{error.strerror or error}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        _refuse(f"--label must be NAME=VALUE, got {text!r}")
    return name, value


def _refuse(message: str) -> NoReturn:
    err.say(message, style="red")
    sys.exit(FAILED)
