"""``optserve schedule``: schedules drawn where you are, without a service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from jobs.spec.job import JobSpec
from optcore.schedules.make import make_schedule
from optcore.schedules.picture import svg
from optcore.schedules.plan import plan
from optcore.spec.errors import Problem, SpecError
from optcore.spec.schedules.preview import PreviewSpec
from optserve.chart import chart

app = typer.Typer(help="Schedules, seen before they run.", no_args_is_help=True)

out = Console(highlight=False)

HEIGHT = 12
"""Lines of the picture in the terminal."""
MIN_WIDTH, MAX_WIDTH = 40, 100


@app.callback()
def schedule() -> None:
    """Schedules, seen before they run."""


@app.command()
def plot(
    spec: Annotated[
        str,
        typer.Argument(
            help="A schedule as JSON, the name of one, a file with a schedule or a job, or -."
        ),
    ],
    lr: Annotated[float | None, typer.Option(help="What it starts from. Default: 1.")] = None,
    steps: Annotated[int | None, typer.Option(help="Length of the run. Default: 1000.")] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="For durations in epochs. Default: 1.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Write a picture here too: a .svg file.")
    ] = None,
) -> None:
    """Draw lr at every step, with what it comes to."""
    if to is not None and to.suffix != ".svg":
        raise SpecError([Problem("--to", f"to must be a .svg file, got {str(to)!r}")])
    asked = preview_of(read(spec), lr=lr, steps=steps, steps_per_epoch=steps_per_epoch)
    sizes = {"total_steps": asked.total_steps, "steps_per_epoch": asked.steps_per_epoch}
    lrs = make_schedule(asked.schedule, lr=asked.lr, **sizes)(np.arange(asked.total_steps))
    known = plan(asked.schedule, lr=asked.lr, **sizes)
    width = min(max(out.width, MIN_WIDTH), MAX_WIDTH)
    title = f"{asked.schedule.kind}, {asked.total_steps} steps"
    for line in chart(f"lr of {title}", lrs.tolist(), width=width, height=HEIGHT):
        out.print(line, soft_wrap=True)
    out.print(
        f"first {known.first:g}  peak {known.peak:g} at step {known.peak_step}  "
        f"last {known.last:g}  area {known.area:g}  warmup {known.warmup_share:.0%}",
        soft_wrap=True,
    )
    for warning in known.warnings:
        out.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    if to is not None:
        to.write_text(svg({"lr": lrs}, title=title))
        out.print(f"{to} is written", soft_wrap=True)


def read(text: str) -> dict[str, Any]:
    """Return the object that *text* is, names or lies in the file of."""
    path = Path(text)
    try:
        if text == "-":
            text = sys.stdin.read()
        elif not text.lstrip().startswith("{"):
            text = path.read_text() if path.is_file() else json.dumps({"kind": text})
        data = json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError([Problem("spec", f"{path} cannot be read: {error}")]) from None
    except json.JSONDecodeError as error:
        raise SpecError([Problem("spec", f"spec must be JSON: {error}")]) from None
    if not isinstance(data, dict):
        raise SpecError([Problem("spec", "spec must be an object")])
    return data


def preview_of(
    data: dict[str, Any], *, lr: float | None, steps: int | None, steps_per_epoch: int | None
) -> PreviewSpec:
    """Return what to draw for *data*, a schedule or a job; what is given goes before the job's."""
    asked: dict[str, Any] = {"schedule": data, "lr": 1.0, "total_steps": 1000}
    if "optimizer" in data:
        job = JobSpec.parse(data)
        asked = {
            "schedule": job.schedule.model_dump(),
            "lr": job.optimizer.lr,
            "total_steps": job.total_steps,
            "steps_per_epoch": job.steps_per_epoch,
        }
    given = {"lr": lr, "total_steps": steps, "steps_per_epoch": steps_per_epoch}
    asked |= {name: value for name, value in given.items() if value is not None}
    return PreviewSpec.parse(asked)
