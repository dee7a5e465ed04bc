"""``optserve clone``: submit a job that starts from a stored state of another job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from optserve.cli.files import parse_object, read_object
from optserve.cli.options import DEFAULT_HOME, FAILED, BadOption, Home, JobId, Url, service
from optserve.cli.output import reports
from optserve.cli.output.terminal import err, out
from optserve.contract.requests.clone import CloneSpec


def clone(
    job_id: JobId,
    *,
    source: Annotated[
        str,
        typer.Option(
            "--from", help="State to start from: last, best, or the step of a checkpoint."
        ),
    ] = "last",
    keep: Annotated[
        str,
        typer.Option(help="What to copy: weights, or optimizer (all that the training needs)."),
    ] = "weights",
    changes: Annotated[
        str,
        typer.Option(
            help="Changes to the job: a JSON merge patch, a file with a patch, or - for stdin."
        ),
    ] = "{}",
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FROM=TO",
            help="Weights whose names begin with FROM go to TO in the clone's network; repeatable.",
        ),
    ] = None,
    fresh: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB", help="Initialise these weights of the clone instead; repeatable."
        ),
    ] = None,
    omit: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Leave out these weights of the job; repeatable."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the job to its end.")] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Requests with one key and equal clones create one job.")
    ] = None,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Submit a job that starts with the weights of another job."""
    state = int(source) if source.isdecimal() else source
    spec = CloneSpec.parse(
        {
            "from": state,
            "keep": keep,
            "changes": _changes(changes),
            "prefixes": [_prefix(text) for text in prefix or []],
            "fresh": fresh or [],
            "omit": omit or [],
        }
    )
    with service(url, home) as client:
        job = client.clone(
            job_id,
            source=spec.source,
            keep=spec.keep,
            changes=spec.changes,
            prefixes=[each.model_dump() for each in spec.prefixes],
            fresh=spec.fresh,
            omit=spec.omit,
            idempotency_key=idempotency_key,
        )
        for warning in job.parent.warnings if job.parent else ():
            err.say(f"warning: {warning}", style="yellow")
        out.say(f"{job.id}  {client.url}/v1/jobs/{job.id}")
        if follow and not reports.follow_and_report(client, job, out):
            raise typer.Exit(FAILED)


def _prefix(text: str) -> dict[str, str]:
    source, equals, to = text.partition("=")
    if not equals:
        raise BadOption(f"--prefix must be FROM=TO, got {text!r}")
    return {"from": source, "to": to}


def _changes(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        # Arguments that are not UTF-8 arrive with surrogates. Converted back to bytes, they are
        # refused with the position of the first invalid byte.
        return parse_object(text.encode(errors="surrogateescape"), "--changes", "a merge patch")
    return read_object(Path(text), "changes of a job")
