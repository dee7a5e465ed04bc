"""Charts over HTTP: parameters, responses and errors."""

import math
from itertools import product
from typing import Any

import httpx
import pytest
import redis

from tests.support.store.protocol import submit
from tests.support.store.series import begun, odd_rows, put, rows_in, shown

pytestmark = pytest.mark.anyio

RANGES = ((0, 9999), (0, 63), (1, 9998), (64, 8191), (777, 7777), (9999, 9999))
REFUSED = [
    ("first=-1", "first", "first must be at least 0, got '-1'"),
    ("first=x", "first", "first must be a whole number, got 'x'"),
    ("first=10", "first", "first must be below 10, got 10"),
    ("last=-1", "last", "last must be at least 0, got '-1'"),
    ("last=10", "last", "last must be below 10, got 10"),
    ("last=123456789012", "last", "last must be below 10, got 123456789012"),
    (f"last={10**400}", "last", f"last must be below 10, got 1{76 * '0'}..."),
    ("first=5&last=4", "last", "last must be at least first (5), got 4"),
    ("max_points=1", "max_points", "max_points must be at least 2, got '1'"),
    ("max_points=0", "max_points", "max_points must be at least 2, got '0'"),
    ("max_points=10001", "max_points", "max_points must be at most 10000, got '10001'"),
    ("max_points=x", "max_points", "max_points must be a whole number, got 'x'"),
    (
        "columns=lost",
        "columns",
        "columns must be among lr, loss for job JOB, got 'lost'; did you mean 'loss'?",
    ),
    ("columns=", "columns", "columns must be among lr, loss for job JOB, got ''"),
    ("columns=loss,loss", "columns", "columns must not repeat a value, got 'loss' twice"),
    (
        "colums=loss",
        "colums",
        "unknown query parameter 'colums'; did you mean 'columns'? "
        "(known: columns, evaluations, max_points, first, last)",
    ),
]
"""Question, parameter, and what is wrong with it."""


async def chart(http: httpx.AsyncClient, job_id: str, **params: Any) -> dict[str, Any]:
    response = await http.get(f"/v1/jobs/{job_id}/metrics/chart", params=params)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()
    return data


def same(one: dict[int, float], other: dict[int, float]) -> bool:
    """Return whether two curves are equal; NaN is equal to NaN here."""
    return list(map(repr, one.items())) == list(map(repr, other.items()))


async def test_a_chart_has_the_extremes_of_every_bucket(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held, rows = begun(client), odd_rows(1, 10_000)
    put(client, held, rows)

    for (first, last), max_points in product(RANGES, (2, 3, 100, 2000, 9999)):
        data = await chart(http, held.job_id, first=first, last=last, max_points=max_points)

        assert (data["first"], data["last"], data["total"]) == (first, last, 10_000)
        for i, column in enumerate(("lr", "loss")):
            values = [row[i] for row in rows[first : last + 1]]
            points = rows_in(data, column)
            assert same(points, shown(values, first, data["bucket"]))
            assert len(points) <= max_points
            odd = data["columns"][column]["not_finite"]
            assert sum(odd["nan"]) == sum(map(math.isnan, values))
            assert sum(odd["infinity"]) == values.count(math.inf)
            assert sum(odd["minus_infinity"]) == values.count(-math.inf)
            assert all(not math.isfinite(values[step - first]) for step in odd["steps"])
        assert data["returned"] == sum(len(c["steps"]) for c in data["columns"].values())


async def test_a_short_range_has_every_step_exact_to_the_bit(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held, rows = begun(client), odd_rows(1, 10_000)
    put(client, held, rows)

    data = await chart(http, held.job_id, first=4000, last=4999, max_points=1000)

    assert data["bucket"] == 1
    assert same(rows_in(data, "loss"), {i: rows[i][1] for i in range(4000, 5000)})


async def test_equal_requests_have_equal_answers(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client)
    put(client, held, odd_rows(1, 10_000))
    path = f"/v1/jobs/{held.job_id}/metrics/chart"

    answers = {(await http.get(path, params={"max_points": 50})).text for _ in range(3)}

    assert len(answers) == 1


async def test_non_finite_values_are_counted_and_written_as_strings(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client)
    put(client, held, [(0.1, math.nan), (0.1, math.inf), (0.1, -math.inf), (0.1, 0.1 + 0.2)])

    data = await chart(http, held.job_id)

    assert data == {
        "object": "chart",
        "job": held.job_id,
        "state": "running",
        "total": 4,
        "first": 0,
        "last": 3,
        "bucket": 1,
        "returned": 8,
        "evaluations": {},
        "evaluations_unreadable": None,
        "columns": {
            "lr": {
                "steps": [0, 1, 2, 3],
                "values": [0.1, 0.1, 0.1, 0.1],
                "not_finite": {"steps": [], "nan": [], "infinity": [], "minus_infinity": []},
            },
            "loss": {
                "steps": [0, 1, 2, 3],
                "values": ["NaN", "Infinity", "-Infinity", 0.30000000000000004],
                "not_finite": {
                    "steps": [0, 1, 2],
                    "nan": [1, 0, 0],
                    "infinity": [0, 1, 0],
                    "minus_infinity": [0, 0, 1],
                },
            },
        },
    }


async def test_a_bucket_without_finite_values_has_a_point(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client)
    put(client, held, [(0.1, 1.0)] * 64 + [(0.1, math.nan)] * 63 + [(0.1, math.inf)])

    data = await chart(http, held.job_id, columns="loss", max_points=4)

    curve = data["columns"]["loss"]
    assert data["bucket"] == 64
    assert (curve["steps"], curve["values"]) == ([0, 64], [1.0, "NaN"])
    assert curve["not_finite"] == {
        "steps": [64],
        "nan": [63],
        "infinity": [1],
        "minus_infinity": [0],
    }


async def test_columns_are_given_in_one_parameter_or_several(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    held = begun(client)
    put(client, held, odd_rows(1, 10))

    for columns, names in (
        ("loss", ["loss"]),
        ("loss,lr", ["loss", "lr"]),
        (["loss", "lr"], ["loss", "lr"]),
        ([], ["lr", "loss"]),
    ):
        assert list((await chart(http, held.job_id, columns=columns))["columns"]) == names


async def test_a_job_without_steps_has_an_empty_chart(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    data = await chart(http, submit(client))

    assert (data["total"], data["first"], data["last"], data["returned"]) == (0, 0, -1, 0)
    assert data["columns"]["loss"]["values"] == []


async def test_invalid_parameters_are_refused_with_their_rule(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    job_id = submit(client)

    for query, param, message in REFUSED:
        response = await http.get(f"/v1/jobs/{job_id}/metrics/chart?{query}")

        assert response.status_code == 422, query
        named = message.replace("JOB", job_id)
        assert response.json()["errors"] == [{"param": param, "message": named}]


async def test_a_chart_of_an_unknown_job_is_a_404(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/jobs/job_0/metrics/chart")

    assert response.status_code == 404
    assert response.json()["detail"] == "job 'job_0' does not exist"
