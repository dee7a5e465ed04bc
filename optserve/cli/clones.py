"""``optserve clone``: another job, from where one got."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from optserve.cli import jobs
from optserve.cli.files import parse_object, read_object
from optserve.cli.options import DEFAULT_HOME, FAILED, Home, JobId, Url, service
from optserve.cli.output.terminal import out
from optserve.contract.requests.clone import CloneSpec


def clone(
    job_id: JobId,
    *,
    source: Annotated[
        str, typer.Option("--from", help="last, best, or the step of a checkpoint.")
    ] = "last",
    keep: Annotated[
        str, typer.Option(help="What to begin with; optimizer: the weights, and its state.")
    ] = "weights",
    changes: Annotated[
        str,
        typer.Option(
            help="What is to be different: a JSON merge patch, a file with one, or - for standard "
            "input."
        ),
    ] = "{}",
    follow: Annotated[bool, typer.Option("--follow", help="Show it until it ends.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Equal keys with equal clones are one job.")
    ] = None,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Post a job that begins with the weights of another one."""
    where = int(source) if source.isdecimal() else source
    asked = CloneSpec.parse({"from": where, "keep": keep, "changes": _changes(changes)})
    with service(url, home) as client:
        job = client.clone(
            job_id,
            source=asked.source,
            keep=asked.keep,
            changes=asked.changes,
            idempotency_key=idempotency_key,
        )
        out.say(f"{job.id}  {client.url}/v1/jobs/{job.id}")
        if follow and not jobs.follow(client, job, out):
            raise typer.Exit(FAILED)


def _changes(given: str) -> dict[str, Any]:
    if given.lstrip().startswith("{"):
        return parse_object(
            given.encode(errors="surrogateescape"), "--changes must say what is different"
        )
    return read_object(Path(given), "changes of a job")
