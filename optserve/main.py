"""The `optserve` command."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from jobs.spec.states import State
from jobs.spec.wire import Job
from optcore.spec.errors import SpecError
from optserve import convert, live, stack
from optserve import demo as demonstration
from optserve.client import Client, ServiceError, Unreachable
from optserve.datasets import FetchFailed, fetch_mnist

app = typer.Typer(
    help="Training as a service: post a job, read the lr and loss of every step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
datasets = typer.Typer(help="Datasets of this machine.", no_args_is_help=True)
app.add_typer(datasets, name="datasets")
app.command("convert")(convert.command)

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

DEFAULT_HOME = Path(".optserve")
DEFAULT_URL = "http://127.0.0.1:8000"
FAILED = 1

Home = Annotated[
    Path, typer.Option(envvar="OPTSERVE_HOME", help="Where the local stack keeps everything.")
]
Port = Annotated[int, typer.Option(envvar="OPTSERVE_PORT", help="0 for any free one.")]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="OPTSERVE_URL", help="The service. Default: the stack on --home, else port 8000."
    ),
]
JobId = Annotated[str, typer.Argument(metavar="JOB")]


@app.command()
def up(
    home: Home = DEFAULT_HOME,
    host: Annotated[str, typer.Option(envvar="OPTSERVE_HOST")] = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(min=1, help="They share the cores.")] = 1,
) -> None:
    """Start the service on this machine and stay until Ctrl-C."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with stack.running(home=home, host=host, port=port, workers=workers) as running:
        out.print(f"optserve is ready at {running.url}", soft_wrap=True)
        out.print(f"what it offers: {running.url}/docs", soft_wrap=True)
        out.print("Ctrl-C saves what runs and ends everything")
        while not stopping.wait(stack.LOOK_S):
            running.look_after()
        out.print("saving what runs, and leaving ...")


@app.command()
def demo(home: Home = DEFAULT_HOME, port: Port = 8000) -> None:
    """Train a network on MNIST through the whole service, and show it."""
    demonstration.run(home, port, out)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="The job as JSON; - for standard input.")],
    follow: Annotated[bool, typer.Option("--follow", help="Show it until it ends.")] = False,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Post a job."""
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except OSError as error:
        _refuse(f"{file} cannot be read: {error.strerror}")
    try:
        spec = json.loads(text)
    except json.JSONDecodeError as error:
        _refuse(f"{file} must hold a job as JSON: {error}")
    if not isinstance(spec, dict):
        _refuse(f"{file} must hold a job as a JSON object")
    with Client(url or _url(home)) as client:
        job = client.submit(spec)
        out.print(f"{job.id}  {client.url}/v1/jobs/{job.id}", soft_wrap=True)
        if follow:
            _follow(client, job)


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
    with Client(url or _url(home)) as client:
        page = client.jobs(state=state, labels=labels, limit=limit)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("job", no_wrap=True)
    table.add_column("state")
    table.add_column("step", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("name", no_wrap=True, overflow="ellipsis")
    for job in page.data:
        accuracy = f"{job.result.test_accuracy:.2%}" if job.result else ""
        state_shown = f"{job.state}: {job.reason}" if job.reason else job.state
        table.add_row(job.id, state_shown, f"{job.step}/{job.total_steps}", accuracy, job.name)
    out.print(table)
    if page.has_more:
        out.print(f"there are more; see them with --limit {min(1000, 2 * limit)}")


@app.command()
def show(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """Show a job: where it stands, lr and loss of its steps, its history."""
    with Client(url or _url(home)) as client:
        job = client.job(job_id)
        rows = list(client.metrics(job_id))
        events = client.events(job_id)
    for name, value in _facts(job).items():
        out.print(f"{name:<12} {value}", soft_wrap=True)
    if rows:
        for line in live.picture(rows, out.width):
            out.print(line, soft_wrap=True)
    for event in events:
        data = ", ".join(f"{name} {value}" for name, value in event.data.items())
        out.print(
            f"{event.at:%Y-%m-%d %H:%M:%S}  {event.kind:<16} {data}",
            overflow="ellipsis",
            no_wrap=True,
        )


@app.command()
def cancel(job_id: JobId, url: Url = None, home: Home = DEFAULT_HOME) -> None:
    """End a job; a running one saves a checkpoint first."""
    with Client(url or _url(home)) as client:
        job = client.cancel(job_id)
    out.print(f"{job.id} is {job.state}" + (", and will be cancelled" if job.request else ""))


@datasets.command()
def fetch(name: Annotated[str, typer.Argument(help="mnist")], home: Home = DEFAULT_HOME) -> None:
    """Put a dataset into the data directory of the local stack."""
    if name != "mnist":
        _refuse(f"dataset must be mnist (digits needs no fetching), got {name!r}")
    fetch_mnist(stack.data_dir(home) / name, out.print)


def main() -> None:
    """Run the command; what goes wrong is a sentence, never a traceback."""
    try:
        app()
    except (SpecError, ServiceError, Unreachable, FetchFailed, stack.StackError) as error:
        _refuse(str(error))


def _follow(client: Client, job: Job) -> None:
    try:
        rows, end = live.follow(client, job, out)
    except KeyboardInterrupt:
        out.print(f"the job goes on; `optserve cancel {job.id}` would end it")
        raise
    if rows:
        for line in live.picture(rows, out.width):
            out.print(line, soft_wrap=True)
    ended = client.job(job.id)
    for name, value in _facts(ended).items():
        out.print(f"{name:<12} {value}", soft_wrap=True)
    if end.state is not State.SUCCEEDED:
        raise typer.Exit(FAILED)


def _facts(job: Job) -> dict[str, str]:
    """Return what is worth a line each."""
    optimizer, schedule = job.spec["optimizer"], job.spec["schedule"]
    facts = {
        "job": job.id,
        "name": job.name,
        "state": f"{job.state}: {job.reason}: {job.detail}" if job.reason else str(job.state),
        "steps": f"{job.step} of {job.total_steps}",
        "optimizer": f"{optimizer['kind']} ({optimizer['dialect']}), lr {optimizer['lr']:g}",
        "schedule": schedule["kind"] + (" after a warmup" if schedule["warmup"] else ""),
    }
    if job.result:
        facts["test"] = f"accuracy {job.result.test_accuracy:.2%}, loss {job.result.test_loss:.4f}"
    if job.digest:
        facts["digest"] = job.digest
    return {name: value for name, value in facts.items() if value}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        _refuse(f"--label must be NAME=VALUE, got {text!r}")
    return name, value


def _url(home: Path) -> str:
    return stack.url_of(home) or DEFAULT_URL


def _refuse(message: str) -> NoReturn:
    err.print(message, style="red", soft_wrap=True)
    sys.exit(FAILED)


if __name__ == "__main__":
    main()
