"""``optserve schedule``: draw learning rate schedules locally, without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from optcore.spec.errors import Problem, SpecError
from optserve.interrupts import importing

app = typer.Typer(help="Draw learning rate schedules without training.", no_args_is_help=True)


@app.callback()
def schedule() -> None:
    """Draw learning rate schedules without training."""


@app.command()
def plot(
    spec: Annotated[
        str,
        typer.Argument(
            help="A schedule: its name, JSON, a file with a schedule or a job, or - for stdin."
        ),
    ],
    lr: Annotated[float | None, typer.Option(help="Base lr. Default: the job's, else 1.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of the run. Default: the job's, else 1000.")
    ] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="Steps per epoch. Default: the job's, else 1.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Also write a picture to this .svg file.")
    ] = None,
) -> None:
    """Draw the lr of a schedule at every step, with a summary."""
    if to is not None and to.suffix != ".svg":
        raise SpecError([Problem("--to", f"to must be a .svg file, got {str(to)!r}")])
    with importing():
        from optserve.cli.offline.plot import draw, preview_of, read  # noqa: PLC0415  see `offline`

    draw(preview_of(read(spec), lr=lr, steps=steps, steps_per_epoch=steps_per_epoch), to)
