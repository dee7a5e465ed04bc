"""``optserve compare``: several jobs over each other in the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.spec.charts import Along
from optserve import pictures
from optserve.chart import LETTERS
from optserve.options import DEFAULT_HOME, Home, Url, service
from optserve.tables import print_table
from optserve.terminal import err, out, visible


def compare(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...")],
    column: Annotated[str, typer.Option(help="What is compared.")] = "loss",
    x: Annotated[Along, typer.Option(help="Along what.")] = Along.STEP,
    url: Url = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Draw several jobs over each other: by step, examples seen or seconds trained."""
    with service(url, home) as client:
        found = client.compare(job_ids, column=column, x=x)
    for line in pictures.of_jobs(found, out.width):
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
