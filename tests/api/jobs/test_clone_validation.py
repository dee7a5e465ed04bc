"""Clones that validate with examples which their weights were trained on."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.support.store.parents import Parent

pytestmark = pytest.mark.anyio


async def cloned(http: httpx.AsyncClient, parent: Parent, **body: Any) -> dict[str, Any]:
    response = await http.post(parent.path, json=body)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


KNOWN = (
    "dataset.validation: {} of the {} validation examples are training examples of job {}, which "
    "trained the weights that this job starts from, so its val_ metrics look too good; {}"
)


async def test_a_clone_says_which_of_its_validation_examples_its_parent_trained_on(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    parent = Parent(client, tmp_path / "storage", dataset={"kind": "digits", "validation": 100})
    parent.checkpointed(3)

    same = await cloned(http, parent)
    fewer = await cloned(http, parent, changes={"dataset": {"validation": 50}})
    none = await cloned(http, parent, changes={"dataset": {"validation": None}})
    more = await cloned(http, parent, changes={"dataset": {"validation": 300}})

    for job in (same, fewer, none):
        assert job["parent"]["warnings"] == []
    way_out = "with dataset.validation at most 100, none would be"
    warning = KNOWN.format(200, 300, parent.id, way_out)
    assert more["parent"]["warnings"] == [warning]
    read = (await http.get(f"/v1/jobs/{more['id']}")).json()
    (listed,) = [
        job for job in (await http.get("/v1/jobs")).json()["data"] if job["id"] == more["id"]
    ]
    assert read["parent"] == listed["parent"] == more["parent"]


async def test_a_clone_of_a_clone_knows_what_both_trained_on(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    first = Parent(client, tmp_path / "storage")
    first.succeeded()
    job = await cloned(http, first, changes={"dataset": {"validation": 300}})
    second = Parent(client, tmp_path / "storage", job["id"])
    second.checkpointed(3)

    third = await cloned(http, second)

    way_out = f"job {first.id} held out no training examples"
    assert third["parent"]["job"] == second.id
    assert third["parent"]["warnings"] == [KNOWN.format(300, 300, first.id, way_out)]


async def test_the_plan_of_a_clone_has_its_warnings_and_makes_no_job(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    parent = Parent(client, tmp_path / "storage")
    parent.checkpointed(3)
    changes = {"dataset": {"validation": 300}, "training": {"steps": 20}}
    before = sorted((tmp_path / "storage").rglob("*"))

    response = await http.post(f"{parent.path}/validate", json={"changes": changes})

    plan = response.json()
    way_out = f"job {parent.id} held out no training examples"
    assert (response.status_code, plan["object"], plan["total_steps"]) == (200, "plan", 20)
    assert KNOWN.format(300, 300, parent.id, way_out) in plan["warnings"]
    assert plan["spec"]["dataset"]["validation"] == 300
    assert len((await http.get("/v1/jobs")).json()["data"]) == 1
    assert sorted((tmp_path / "storage").rglob("*")) == before


async def test_the_plan_of_a_clone_is_refused_as_the_clone_is(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    parent = Parent(client, tmp_path / "storage")
    nothing = [await http.post(f"{parent.path}{rest}", json={}) for rest in ("", "/validate")]
    parent.checkpointed(3)

    for body in (
        {"from": 4},
        {"keep": "optimizer", "changes": {"optimizer": {"kind": "lion", "lr": 0.1}}},
        {"changes": {"optimizer": {"lr": -1}}},
        {"changes": {"model": {"hidden": [64]}}},
    ):
        refused = [await http.post(f"{parent.path}{rest}", json=body) for rest in ("", "/validate")]
        assert [each.status_code for each in refused] == [422, 422]
        assert refused[0].json() == refused[1].json()
    assert [each.status_code for each in nothing] == [409, 409]
    assert nothing[0].json() == nothing[1].json()
    assert (await http.post("/v1/jobs/job_0/clone/validate", json={})).status_code == 404
