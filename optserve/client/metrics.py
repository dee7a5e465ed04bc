"""The client's calls that read metrics: rows, evaluations, charts, comparisons and exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from optcore.files.durable import replace
from optserve.client.addresses import job_path
from optserve.client.connection import Connection, Params, given
from optserve.contract.answers.base import Page
from optserve.contract.answers.charts import Chart, Comparison, XAxis
from optserve.contract.answers.evaluations import Evaluation, EvaluationMetric, EvaluationsPage
from optserve.contract.answers.metrics import MetricRow, MetricsPage
from optserve.contract.requests.exports import ExportForm


class MetricCalls:
    """The methods of `Client` that read metrics."""

    _connection: Connection

    def metrics(self, job_id: str, *, after: int = -1) -> Iterator[MetricRow]:
        """
        Yield the stored metrics of the steps with a number above *after*, oldest first.

        Raises:
            ServiceError: steps that were yielded before have been discarded (``rows_truncated``).
        """
        params: Params = {"after": after, "limit": 10_000}
        while True:
            path = job_path(job_id, "metrics")
            page = self._connection.request(MetricsPage, "GET", path, params=params)
            yield from page.data
            if not (page.has_more and page.data):
                return
            # With the count of truncations, so that the service refuses the next page if steps on
            # this page have been discarded: pages would otherwise mix old and new steps.
            params |= {"after": page.data[-1].step, "truncations": page.truncations}

    def evaluations(self, job_id: str, *, after: int = -1) -> Iterator[Evaluation]:
        """
        Yield the stored evaluations made after more than *after* steps, oldest first.

        Raises:
            ServiceError: evaluations that were yielded before have been discarded
                (``rows_truncated``).
        """
        params: Params = {"after": after, "limit": 1000}
        while True:
            path = job_path(job_id, "evaluations")
            page = self._connection.request(EvaluationsPage, "GET", path, params=params)
            yield from page.data
            if not (page.has_more and page.data):
                return
            # With the count of truncations, as in `metrics`.
            params |= {"after": page.data[-1].step, "truncations": page.truncations}

    def evaluation_metrics(self) -> list[EvaluationMetric]:
        """Return all evaluation metrics that the service can measure."""
        path = "/v1/evaluation-metrics"
        return self._connection.request(Page[EvaluationMetric], "GET", path).data

    def chart(
        self,
        job_id: str,
        *,
        columns: Sequence[str] = (),
        evaluations: Sequence[str] = (),
        max_points: int = 2000,
        first: int = 0,
        last: int | None = None,
    ) -> Chart:
        """
        Return the metrics of a job, reduced for drawing; every spike is preserved.

        Args:
            job_id: id of the job.
            columns: columns to return; default: all columns of the job.
            evaluations: metrics of evaluations to return, such as ``val_loss``; default: all that
                were measured.
            max_points: maximum number of points per column and metric. If the range has at
                most this many steps, every step is a point.
            first: the first step of the range.
            last: the last step of the range; default: the last step stored.
        """
        params = given(
            max_points=max_points,
            first=first,
            columns=columns or None,
            evaluations=evaluations or None,
            last=last,
        )
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
        Return one column, or one metric of evaluations, of several jobs, reduced for drawing.

        Args:
            job_ids: ids of the jobs.
            column: the column to compare, or a metric of evaluations, such as ``val_loss``.
            x: the quantity on the x axis: step, examples seen, or seconds trained.
            max_points: maximum number of points per job.
            first: start of the range on the x axis; default: the start of the axis.
            last: end of the range on the x axis; default: the end of the axis.
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
        Write the metrics of a job to *target*, in a format that other programs read.

        Args:
            job_id: id of the job. If the job is running, the steps stored so far are written.
            target: a path or an open file. The file at a path is written completely or not at all;
                an open file is written as the bytes arrive.
            form: the file format.
            columns: columns to write, in this order; default: all columns of the job.
            after: write only steps with a number above this number.
            limit: maximum number of steps; None for all.

        Raises:
            Unreachable: the connection broke before the last step.
        """
        params = given(format=form, after=after, columns=",".join(columns) or None, limit=limit)
        with self._connection.stream(job_path(job_id, "metrics"), params=params) as response:
            if isinstance(target, Path):
                replace(target, response.iter_bytes())
            else:
                target.writelines(response.iter_bytes())
