"""Draws a schedule in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from optcore.plan.preview import PreviewSpec
from optcore.plan.schedule import plan_schedule
from optcore.schedules.make import make_schedule
from optcore.schedules.picture import svg
from optserve.cli.files import parse_object, read_object
from optserve.cli.output.chart import chart
from optserve.cli.output.terminal import out
from optserve.contract.requests.job import JobSpec

HEIGHT = 12
"""Height of the chart in the terminal, in lines."""
MIN_WIDTH, MAX_WIDTH = 40, 100


def draw(preview: PreviewSpec, picture: Path | None) -> None:
    """
    Draw the lr of *preview* at every step in the terminal, with a summary.

    If *picture* names a file, also write an SVG picture to this file.
    """
    steps, epoch = preview.total_steps, preview.steps_per_epoch
    schedule = make_schedule(
        preview.schedule, lr=preview.lr, total_steps=steps, steps_per_epoch=epoch
    )
    lrs = schedule(np.arange(steps))
    summary = plan_schedule(
        preview.schedule, lr=preview.lr, total_steps=steps, steps_per_epoch=epoch, values=lrs
    )
    width = min(max(out.width, MIN_WIDTH), MAX_WIDTH)
    title = f"{preview.schedule.kind}, {steps} steps"
    for line in chart(f"lr of {title}", lrs.tolist(), width=width, height=HEIGHT):
        out.say(line)
    out.say(
        f"first {summary.first:g}  peak {summary.peak:g} at step {summary.peak_step}  "
        f"last {summary.last:g}  area {summary.area:g}  warmup {summary.warmup_share:.0%}"
    )
    for warning in summary.warnings:
        out.say(f"warning: {warning}", style="yellow")
    if picture is not None:
        picture.write_text(svg({"lr": lrs}, title=title))
        out.say(f"wrote {picture}")


def read(text: str) -> dict[str, Any]:
    """
    Return the schedule or job that *text* specifies.

    Args:
        text: a JSON object; or the name of a file that contains a JSON object; or ``-``, for a JSON
            object on standard input; or the name of a schedule.
    """
    if text.lstrip().startswith("{"):
        return parse_object(text.encode(), "SPEC", "a schedule or a job")
    path = Path(text)
    if text == "-" or path.is_file():
        return read_object(path, "a schedule or a job")
    return {"kind": text}


def preview_of(
    data: dict[str, Any], *, lr: float | None, steps: int | None, steps_per_epoch: int | None
) -> PreviewSpec:
    """
    Return the schedule to preview, with its lr and length.

    Args:
        data: a schedule or a job.
        lr: the base lr. None: the lr of the job, or 1 for a schedule.
        steps: the number of steps. None: the steps of the job, or 1000 for a schedule.
        steps_per_epoch: the number of steps per epoch. None: that of the job, or 1 for a schedule.
    """
    preview: dict[str, Any] = {"schedule": data, "lr": 1.0, "total_steps": 1000}
    if "optimizer" in data:
        job = JobSpec.parse(data)
        preview = {
            "schedule": job.schedule.model_dump(),
            "lr": job.optimizer.lr,
            "total_steps": job.total_steps,
            "steps_per_epoch": job.steps_per_epoch,
        }
    given = {"lr": lr, "total_steps": steps, "steps_per_epoch": steps_per_epoch}
    preview |= {name: value for name, value in given.items() if value is not None}
    return PreviewSpec.parse(preview)
