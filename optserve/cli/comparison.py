"""``optserve compare``: draw a column, or a metric of evaluations, of several jobs in one chart."""

from __future__ import annotations

from typing import Annotated

import typer

from optserve.cli.options import DEFAULT_HOME, Home, Url, service
from optserve.cli.output import evaluations, pictures
from optserve.cli.output.chart import LETTERS
from optserve.cli.output.tables import print_table
from optserve.cli.output.terminal import err, out, visible
from optserve.contract.answers.charts import XAxis
from optserve.contract.answers.jobs import Result

COLUMNS = ["", "job", "steps", "test", "best", "name"]
"""Columns of the list of jobs. test: of the last weights; best: the same of the best weights."""


def compare(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...")],
    column: Annotated[
        str, typer.Option(help="The column, or the metric of evaluations, to compare.")
    ] = "loss",
    x: Annotated[XAxis, typer.Option(help="The x axis.")] = XAxis.STEP,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Draw a column (such as loss) or an evaluation metric (such as val_loss) of several jobs."""
    with service(url, home) as client:
        found = client.compare(job_ids, column=column, x=x)
    for line in pictures.comparison_chart(found, out.width):
        out.say(line)
    rows = [
        [letter, job.job, str(job.total), *_tested(job.result), job.name]
        for letter, job in zip(LETTERS, found.data, strict=False)
    ]
    print_table(out, COLUMNS, rows)
    for job in found.data:
        if job.omitted:
            err.say(visible(f"{job.job} is not drawn: {job.omitted}"))


def _tested(result: Result | None) -> list[str]:
    """Return a test metric of the last weights, and of the best weights."""
    if result is None:
        return ["", ""]
    best = result.best
    return [evaluations.brief(result.test), evaluations.brief(best.test) if best else ""]
