"""`POST /v1/schedules/preview`: schedules seen before they run."""

import csv
import io
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import numpy as np
import pytest

import optcore

pytestmark = pytest.mark.anyio

PATH = "/v1/schedules/preview"
COSINE: dict[str, Any] = {
    "schedule": {"kind": "cosine", "warmup": {"length": {"epochs": 2}}},
    "lr": 0.1,
    "total_steps": 100,
    "steps_per_epoch": 5,
}


async def test_a_preview_has_the_lr_of_every_step(http: httpx.AsyncClient) -> None:
    answer = (await http.post(PATH, json=COSINE)).json()

    expected = optcore.make_schedule(
        COSINE["schedule"], lr=0.1, total_steps=100, steps_per_epoch=5
    )(np.arange(100))
    assert answer["lr"] == expected.tolist()
    assert (answer["peak"], answer["peak_step"]) == (0.1, 10)
    assert answer["area"] == pytest.approx(expected.sum())
    assert answer["warmup_share"] == 0.1
    assert answer["lowest"] == 0.0
    assert answer["warnings"] == []
    assert answer["groups"] == []


async def test_each_group_has_its_own_lr(http: httpx.AsyncClient) -> None:
    groups = [
        {"name": "head", "lr_scale": 10},
        {"name": 'bias, "all"', "lr": 0.5, "schedule": {"kind": "constant"}},
    ]

    answer = (await http.post(PATH, json={**COSINE, "groups": groups})).json()
    table = (
        await http.post(PATH, json={**COSINE, "groups": groups}, params={"format": "csv"})
    ).text

    head, bias = answer["groups"]
    assert head["name"] == "head"
    assert head["lr"] == pytest.approx([10 * lr for lr in answer["lr"]])
    assert bias["lr"] == [0.5] * 100
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [float(row['bias, "all"']) for row in rows] == bias["lr"]
    assert [float(row["lr"]) for row in rows] == answer["lr"]
    assert [int(row["step"]) for row in rows] == list(range(100))


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/json;q=0.5, image/svg+xml", "image/svg+xml"),
        ("text/csv;q=wrong, application/json;q=0.1", "application/json"),
        ("image/*", "image/svg+xml"),
    ],
)
async def test_accept_chooses_the_format(
    http: httpx.AsyncClient, accept: str, media_type: str
) -> None:
    answer = await http.post(PATH, json=COSINE, headers={"Accept": accept})

    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "Accept"


async def test_an_unavailable_media_type_is_a_406(http: httpx.AsyncClient) -> None:
    answer = await http.post(PATH, json=COSINE, headers={"Accept": "image/png"})

    assert answer.status_code == 406
    assert answer.json()["detail"] == (
        "Accept must allow one of application/json, text/csv, image/svg+xml, got 'image/png'"
    )


async def test_a_picture_shows_every_spike(http: httpx.AsyncClient) -> None:
    values = [0.1] * 5000
    values[3210] = 1.0
    body = {"schedule": {"kind": "values", "values": values}, "lr": 1.0, "total_steps": 5000}

    text = (await http.post(PATH, json=body, params={"format": "svg"})).text

    (line,) = ET.fromstring(text).findall("{*}polyline")
    heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert min(heights) == 30.0  # the top of the frame, where the largest value is


@pytest.mark.parametrize(
    ("change", "param", "message"),
    [
        (
            {"schedule": {"kind": "cosin"}},
            "schedule.kind",
            "kind must be one of ",
        ),
        ({"lr": 0}, "lr", "lr must be positive, got 0"),
        ({"total_steps": 10**9}, "total_steps", "total_steps must be at most 500000, got"),
        (
            {"total_steps": 300_000, "groups": [{"name": "a"}]},
            "total_steps",
            "total_steps must give at most 500000 values over all curves, got 300000 steps for 2 "
            "curves",
        ),
        (
            {"total_steps": 10},
            "schedule.warmup.length",
            "length must be shorter than the run of 10 steps, got 2 epochs (10 steps)",
        ),
        (
            {"groups": [{"name": "a", "schedule": {"kind": "step", "every": {"epochs": 0.01}}}]},
            "groups[0].schedule.every",
            "every must be at least 1 step, got 0.01 epochs (0.05 steps)",
        ),
        (
            {"groups": [{"name": "lr"}]},
            "groups[0].name",
            "name must be unique, and must not be lr or step, got 'lr'",
        ),
        (
            {"groups": [{"name": "step"}]},
            "groups[0].name",
            "name must be unique, and must not be lr or step, got 'step'",
        ),
        (
            {"groups": [{"name": "=1+2"}]},
            "groups[0].name",
            "name must be printable and not begin with one of = + - @, got '=1+2'",
        ),
        (
            {"groups": [{"name": "a\rb"}]},
            "groups[0].name",
            "name must be printable and not begin with one of = + - @, got 'a\\rb'",
        ),
        (
            {
                "schedule": {
                    "kind": "shift",
                    "by": 100_000_000,
                    "schedule": {
                        "kind": "cosine",
                        "dialect": "torch",
                        "precision": "float32",
                        "end": 1e-5,
                    },
                }
            },
            "schedule.schedule.precision",
            "precision float32 in dialect torch needs a run of at most 1000000 steps, got "
            "100000100: it computes each lr from the previous lr; use float64",
        ),
        (
            {"schedule": {"kind": "shift", "by": 100_000_000, "schedule": {"kind": "cosine"}}},
            "schedule",
            "schedule must compute at most 20000000 values in a preview, got 100000200 (for all "
            "groups, nested schedules and steps that a shift skips); preview fewer steps, groups "
            "or nested schedules, or use a smaller shift",
        ),
        (
            {
                "total_steps": 500_000,
                "schedule": {"kind": "product", "schedules": [{"kind": "cosine"}] * 100},
            },
            "schedule",
            "schedule must compute at most 20000000 values in a preview, ",
        ),
        (
            {
                "groups": [
                    {
                        "name": "a",
                        "schedule": {
                            "kind": "scale",
                            "factor": 1e300,
                            "schedule": {
                                "kind": "scale",
                                "factor": 1e300,
                                "schedule": {"kind": "constant"},
                            },
                        },
                    }
                ]
            },
            "groups[0].schedule",
            "groups[0].schedule must give a finite number at every step, got inf at step 0",
        ),
    ],
)
async def test_an_invalid_preview_is_a_problem(
    http: httpx.AsyncClient, change: dict[str, Any], param: str, message: str
) -> None:
    answer = await http.post(PATH, json={**COSINE, **change})

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (mistake,) = answer.json()["errors"]
    assert mistake["param"] == param
    assert mistake["message"].startswith(message)
