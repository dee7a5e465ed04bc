"""``optserve compare``: draw a column, or a metric of evaluations, of several jobs in one chart."""

from __future__ import annotations

from typing import Annotated

import typer

from optserve.cli.options import DEFAULT_HOME, Home, Url, service
from optserve.cli.output import pictures
from optserve.cli.output.chart import LETTERS
from optserve.cli.output.tables import print_table
from optserve.cli.output.terminal import err, out, visible
from optserve.contract.answers.charts import XAxis


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
    header = ["", "job", "steps", "name"]
    rows = [
        [letter, job.job, str(job.total), job.name]
        for letter, job in zip(LETTERS, found.data, strict=False)
    ]
    print_table(out, header, rows)
    for job in found.data:
        if job.omitted:
            err.say(visible(f"{job.job} is not drawn: {job.omitted}"))
