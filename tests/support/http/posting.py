"""Posting a job."""

from typing import Any

import httpx

JOB: dict[str, Any] = {
    "name": "a",
    "labels": {"team": "ocr"},
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits", "batch_size": 100},
    "optimizer": {"kind": "adam"},
    "training": {"epochs": 2},
}


async def post(http: httpx.AsyncClient, **changes: object) -> dict[str, Any]:
    response = await http.post("/v1/jobs", json={**JOB, **changes})
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job
