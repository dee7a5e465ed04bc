"""``optserve metrics``: export the metrics of a job to a format that other programs read."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from optserve.cli.options import DEFAULT_HOME, FAILED, Home, JobId, Url, service
from optserve.cli.output.terminal import err
from optserve.contract.requests.exports import ExportForm


def metrics(
    job_id: JobId,
    *,
    form: Annotated[
        ExportForm, typer.Option("--format", help="File format; arrow is Arrow's stream format.")
    ] = ExportForm.CSV,
    columns: Annotated[
        str | None, typer.Option(help="Columns in order, such as loss,lr. Default: all.")
    ] = None,
    after: Annotated[int, typer.Option(min=-1, help="Export only steps after this step.")] = -1,
    file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write, completely or not at all. Default: stdout."),
    ] = None,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Export the metrics of a job as CSV, NDJSON, Parquet or Arrow, without rounding."""
    if file is None and not form.is_text and sys.stdout.isatty():
        err.say(
            f"{form} is a binary format: write it to a file with --out FILE, or into a pipe",
            style="red",
        )
        raise typer.Exit(FAILED)
    with service(url, home) as client:
        try:
            client.export(
                job_id,
                sys.stdout.buffer if file is None else file,
                form=form,
                columns=() if columns is None else columns.split(","),
                after=after,
            )
            sys.stdout.flush()  # here, where a closed pipe is handled
        except BrokenPipeError:  # the reader has closed the pipe, as `head` does
            # Python flushes stdout at exit, and would print a second BrokenPipeError.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(FAILED) from None
