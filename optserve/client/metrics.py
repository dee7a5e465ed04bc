"""The client's calls that read metrics: rows, charts, comparisons and exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from optcore.files.durable import replace
from optserve.client.addresses import job_path
from optserve.client.connection import Connection, Params, given
from optserve.contract.answers.charts import Chart, Comparison, XAxis
from optserve.contract.answers.metrics import MetricRow, MetricsPage
from optserve.contract.requests.exports import ExportForm


class MetricCalls:
    """The part of `Client` that reads metrics."""

    _connection: Connection

    def metrics(self, job_id: str, *, after: int = -1) -> Iterator[MetricRow]:
        """
        Yield the steps after *after* that exist now, oldest first.

        Raises:
            ServiceError: steps already yielded have been truncated (``rows_truncated``).
        """
        params: Params = {"after": after, "limit": 10_000}
        while True:
            path = job_path(job_id, "metrics")
            page = self._connection.request(MetricsPage, "GET", path, params=params)
            yield from page.data
            if not (page.has_more and page.data):
                return
            # With the count of truncations, so that the service refuses the next page if steps of
            # this one are no longer the job's: pages would otherwise join two runs.
            params |= {"after": page.data[-1].step, "truncations": page.truncations}

    def chart(
        self,
        job_id: str,
        *,
        columns: Sequence[str] = (),
        max_points: int = 2000,
        first: int = 0,
        last: int | None = None,
    ) -> Chart:
        """
        Return a job's series reduced for drawing: every spike is kept, however long it is.

        Args:
            job_id: the job.
            columns: what to return; default: all columns of the job.
            max_points: at most this many points per column; a shorter range has every step.
            first: the first step.
            last: the last step; default: the last one there is.
        """
        params = given(max_points=max_points, first=first, columns=columns or None, last=last)
        path = job_path(job_id, "metrics", "chart")
        return self._connection.request(Chart, "GET", path, params=params)

    def compare(
        self,
        job_ids: Sequence[str],
        *,
        column: str = "loss",
        x: XAxis = XAxis.STEP,
        max_points: int = 1000,
        first: float | None = None,
        last: float | None = None,
    ) -> Comparison:
        """
        Return a column of several jobs, reduced for drawing over each other.

        Args:
            job_ids: the jobs.
            column: what to compare.
            x: step, examples seen or seconds trained.
            max_points: at most this many points per job.
            first: where to start on the x axis; default: at its start.
            last: where to end on the x axis; default: at its end.
        """
        params = given(
            job=job_ids, column=column, x=x, max_points=max_points, first=first, last=last
        )
        return self._connection.request(Comparison, "GET", "/v1/metrics/chart", params=params)

    def export(
        self,
        job_id: str,
        target: Path | IO[bytes],
        *,
        form: ExportForm = ExportForm.CSV,
        columns: Sequence[str] = (),
        after: int = -1,
        limit: int | None = None,
    ) -> None:
        """
        Write the steps of a job in a format that other programs read.

        Args:
            job_id: the job; a running one gives the steps that exist now.
            target: a path is written completely or not at all; an open file as the bytes arrive.
            form: the format.
            columns: which, in this order; default: all columns of the job.
            after: only steps after this one.
            limit: at most this many; None for all.

        Raises:
            Unreachable: the connection broke before the last step.
        """
        params = given(format=form, after=after, columns=",".join(columns) or None, limit=limit)
        with self._connection.stream(job_path(job_id, "metrics"), params=params) as response:
            if isinstance(target, Path):
                replace(target, response.iter_bytes())
            else:
                target.writelines(response.iter_bytes())
