"""Charts and comparisons drawn as text."""

import math
from typing import Any

from optserve.cli.output.chart import chart
from optserve.cli.output.evaluations import table
from optserve.cli.output.pictures import comparison_chart, job_chart
from optserve.client import Client
from optserve.contract.answers.charts import Chart, Comparison, XAxis
from optserve.contract.states import State
from tests.support.http.scripted import Scripted, answers
from tests.support.machine.terminal import on_terminal, piped

ID = "job_01a1fcc6-8a39-71a0-a3db-707480a8ffda"
NOTHING: dict[str, list[int]] = {"steps": [], "nan": [], "infinity": [], "minus_infinity": []}


def curve(*values: float | str) -> dict[str, Any]:
    return {"steps": list(range(len(values))), "values": list(values), "not_finite": NOTHING}


def chart_of(total: int, **columns: dict[str, Any]) -> dict[str, Any]:
    facts = {"job": "job_1", "state": "running", "total": total, "first": 0, "last": total - 1}
    return {**facts, "bucket": 1, "returned": 2 * total, "columns": columns}


def compared(name: str, *values: float, omitted: str | None = None) -> dict[str, Any]:
    drawn = curve(*values)
    return {
        **drawn,
        "not_finite": {**NOTHING, "x": []},
        "x": drawn["steps"],
        "job": ID,
        "name": name,
        "state": "succeeded",
        "total": len(values),
        "bucket": 1,
        "omitted": omitted,
    }


def comparison(*jobs: dict[str, Any]) -> dict[str, Any]:
    return {"column": "loss", "x": "step", "returned": 4, "data": list(jobs)}


def test_a_chart_with_every_step_is_drawn_like_the_values_themselves() -> None:
    losses = [1 / (i + 1) for i in range(500)]
    found = chart_of(500, loss=curve(*losses), lr=curve(*[0.1] * 500))

    lines = job_chart(Chart.model_validate(found), 80)

    assert lines[:11] == chart("loss", losses, width=80, height=8)
    assert lines[11:] == chart("lr", [0.1] * 500, width=80, height=6)


def test_a_bucket_with_a_nan_among_finite_values_is_marked() -> None:
    losses = curve(*[1.0] * 100)
    losses["not_finite"] = {**NOTHING, "steps": [50], "nan": [3]}
    found = Chart.model_validate(chart_of(1000, loss=losses, lr=curve(0.1)))

    assert "x" in job_chart(found, 80)[1]


def evaluated(
    *points: tuple[int, float | str], bucket: int = 1, higher: bool | None = False
) -> dict[str, Any]:
    steps, values = [step for step, _ in points], [value for _, value in points]
    facts = {"bucket": bucket, "higher_is_better": higher}
    return {"steps": steps, "values": values, "not_finite": NOTHING, **facts}


def test_the_validation_loss_is_drawn_beside_that_of_training() -> None:
    curves = {"loss": curve(*[1.0] * 100), "lr": curve(*[0.1] * 100)}
    data = chart_of(100, **curves)
    data["evaluations"] = {
        "test_loss": evaluated((100, 9.0)),
        "val_loss": evaluated((0, 3.0), (50, 2.0), (100, "NaN")),
    }

    lines = job_chart(Chart.model_validate(data), 80)

    assert lines[0].strip() == "loss, o val_loss"
    assert lines[1].startswith("3 \u2502o")
    assert lines[1].endswith("x")
    assert [line.index("o") for line in lines[2:9] if "o" in line] == [3 + 77 * 49 // 100]
    assert max(map(len, lines)) <= 80
    assert not any("o" in line for line in lines[12:])


def test_show_lists_the_last_and_the_best_value_of_each_metric() -> None:
    data = chart_of(40, loss=curve(1.0), lr=curve(0.1))
    data["evaluations"] = {
        "val_loss": evaluated((10, 3.0), (20, 1.25), (30, "NaN")),
        "val_accuracy": evaluated((10, 0.5), (20, 0.75), (30, 0.75), higher=True),
        "val_removed": evaluated((30, 1.0), higher=None),
        "test_loss": evaluated(),
    }
    found = Chart.model_validate(data)

    with Client("http://127.0.0.1:1") as client:  # it is not asked
        rows = table(client, found)

    assert rows == [
        ["val_loss", "nan", "30", "1.25", "20"],
        ["val_accuracy", "0.75", "30", "0.75", "20"],
        ["val_removed", "1", "30", "", ""],
    ]


def test_the_last_value_of_a_reduced_curve_is_that_of_the_last_evaluation() -> None:
    data = chart_of(40, loss=curve(1.0), lr=curve(0.1))
    data["evaluations"] = {"val_loss": evaluated((1, 3.0), (20, 1.0), bucket=32)}
    last = [
        {"step": step, "event": step, "at": "2026-11-29T10:00:00Z", "metrics": {"val_loss": value}}
        for step, value in ((20, 1.0), (21, 2.5))
    ]
    page = {"data": last, "has_more": False, "next": 21, "truncations": 0}

    with Scripted(answers(200, page)) as server, Client(server.url) as client:
        rows = table(client, Chart.model_validate(data))

    assert rows == [["val_loss", "2.5", "21", "1", "20"]]
    assert server.requests[0][1] == "/v1/jobs/job_1/evaluations?after=19&limit=1000"


def test_the_client_pages_through_evaluations_with_the_truncations() -> None:
    pages = [
        {
            "data": [
                {"step": s, "event": 1, "at": "2026-11-29T10:00:00Z", "metrics": {"val_r2": s}}
            ],
            "has_more": s == 1,
            "next": s,
            "truncations": 2,
        }
        for s in (1, 2)
    ]

    with (
        Scripted(answers(200, pages[0]), answers(200, pages[1])) as server,
        Client(server.url) as client,
    ):
        found = list(client.evaluations("job_1"))

    assert [each.metrics for each in found] == [{"val_r2": 1.0}, {"val_r2": 2.0}]
    assert server.requests[1][1].endswith("?after=1&limit=1000&truncations=2")


def test_a_job_without_steps_is_not_drawn() -> None:
    found = chart_of(0, loss=curve(), lr=curve())
    both = comparison(compared("a"), compared("b"))

    assert job_chart(Chart.model_validate(found), 80) == []
    assert comparison_chart(Comparison.model_validate(both), 80) == []


def test_the_client_returns_charts() -> None:
    with (
        Scripted(
            answers(200, chart_of(2, loss=curve("NaN", "-Infinity"), lr=curve(0.1, 5e-324)))
        ) as server,
        Client(server.url) as client,
    ):
        found = client.chart("job_1", columns=["loss", "lr"], max_points=10, first=0, last=1)

    assert found.state is State.RUNNING
    assert math.isnan(found.columns["loss"].values[0])
    assert found.columns["loss"].values[1] == -math.inf
    assert found.columns["lr"].values[1] == 5e-324
    path = server.requests[0][1]
    asked = "max_points=10&first=0&columns=loss&columns=lr&last=1"
    assert path == f"/v1/jobs/job_1/metrics/chart?{asked}"


def test_the_client_returns_comparisons() -> None:
    with (
        Scripted(answers(200, comparison(compared("a", 1.0), compared("b", 2.0)))) as server,
        Client(server.url) as client,
    ):
        found = client.compare(["job_1", "job_2"], x=XAxis.EXAMPLES, first=0.5)

    assert [job.name for job in found.data] == ["a", "b"]
    asked = "job=job_1&job=job_2&column=loss&x=examples&max_points=1000&first=0.5"
    assert server.requests[0][1] == f"/v1/metrics/chart?{asked}"


def test_jobs_are_compared_in_80_columns_with_their_names() -> None:
    both = comparison(
        compared("adam \x1b[31m", 3.0, 2.0, 1.0), compared("a very long name " * 9, 3.0, 0.0)
    )
    with Scripted(answers(200, both)) as server:
        shown, again = [on_terminal("compare", ID, ID, "--url", server.url) for _ in "ab"]

    lines = shown.splitlines()
    assert shown == again
    assert all(len(line) <= 80 for line in lines)
    assert lines[0].strip() == "loss by step"
    assert lines[-2] == rf"a  {ID}  3                  adam \x1b[31m"
    assert lines[-1].startswith(f"b  {ID}  2                  a very long n")
    assert lines[-1].endswith("…")
    assert "\x1b" not in shown


def test_a_job_that_cannot_be_drawn_is_named_with_the_reason() -> None:
    both = comparison(compared("new", 1.0, 2.0), compared("old", omitted="no times were kept"))
    with Scripted(answers(200, both)) as server:
        done = piped("compare", ID, ID, "--x", "seconds", "--url", server.url)

    assert done.returncode == 0
    assert done.stdout.endswith(f"a\t{ID}\t2\t\t\tnew\nb\t{ID}\t0\t\t\told\n")
    assert done.stderr == f"{ID} is not drawn: no times were kept\n"


def test_jobs_are_compared_with_the_test_metrics_of_their_last_and_of_their_best_weights() -> None:
    best = {"step": 1, "metric": "ema_val_loss", "value": 0.5}
    results: list[dict[str, Any]] = [
        {
            "metrics": {"test_loss": 2.0, "test_accuracy": 0.75, "ema_test_accuracy": 0.9},
            "best": {**best, "metrics": {"ema_test_loss": 1.0, "ema_test_accuracy": 0.875}},
        },
        {"metrics": {"test_loss": 2.0, "test_rmse": 53.94638}},
    ]
    both = comparison(*({**compared("x", 1.0), "result": each} for each in results))

    with Scripted(answers(200, both)) as server:
        done = piped("compare", ID, ID, "--url", server.url)

    rows = f"a\t{ID}\t1\t75.00%\t87.50%\tx\nb\t{ID}\t1\trmse 53.95\t\tx\n"
    assert done.stdout.endswith(rows)
