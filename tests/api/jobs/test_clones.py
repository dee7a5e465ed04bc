"""Clones over HTTP, of jobs that left files behind."""

import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.support.store.parents import Parent
from tests.support.store.protocol import record_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def parent(client: redis.Redis, root: Path) -> Parent:
    made = Parent(client, root)
    made.checkpointed(3, 6)
    return made


async def cloned(http: httpx.AsyncClient, parent: Parent, **body: Any) -> dict[str, Any]:
    response = await http.post(parent.path, json=body)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


async def refused(http: httpx.AsyncClient, parent: Parent, **body: Any) -> dict[str, Any]:
    before = sorted(parent.root.glob("jobs/local/*"))
    response = await http.post(parent.path, json=body)
    assert 400 <= response.status_code < 500, response.text
    assert sorted(parent.root.glob("jobs/local/*")) == before, "nothing is left behind"
    problem: dict[str, Any] = response.json()
    return problem


def copies(parent: Parent, job: dict[str, Any]) -> dict[str, bytes]:
    """Return name and content of what the clone has."""
    inherited = record_of(parent.client, job["id"]).starting_state
    assert inherited is not None
    path = parent.root / inherited.path
    files = [path] if path.is_file() else sorted(path.iterdir())
    return {file.name: file.read_bytes() for file in files}


async def test_a_clone_has_a_copy_of_the_last_weights(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    job = await cloned(http, parent)

    assert job["id"] != parent.id
    assert (job["state"], job["step"], job["checkpoint_step"]) == ("queued", 0, 0)
    assert job["parent"] == {"job": parent.id, "step": 6, "keep": "weights", "warnings": []}
    found = copies(parent, job)
    assert found.keys() == {"model.safetensors", "state.json"}
    assert found["model.safetensors"] == b"model of step-6"


async def test_a_clone_does_not_depend_on_its_parents_checkpoints(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    job = await cloned(http, parent, keep="optimizer", **{"from": 3})

    shutil.rmtree(parent.root / "jobs" / "local" / parent.id)

    assert job["parent"].items() >= {"job": parent.id, "step": 3, "keep": "optimizer"}.items()
    found = copies(parent, job)
    assert found.keys() == {"model.safetensors", "state.json", "state.safetensors"}
    assert found["state.safetensors"] == b"state of step-3"


async def test_the_best_state_is_cloned(http: httpx.AsyncClient, parent: Parent) -> None:
    parent.best_kept(5)

    best = await cloned(http, parent, **{"from": "best"})
    by_step = await cloned(http, parent, **{"from": 5})

    assert best["parent"]["step"] == by_step["parent"]["step"] == 5
    assert copies(parent, best)["model.safetensors"] == b"model of best-5"


async def test_the_weights_that_were_best_are_those_that_were_evaluated(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    parent.best_kept(5)
    parent.succeeded(best=b"the average at step 5", final_state=True)

    weights = await cloned(http, parent, **{"from": "best"})
    state = await cloned(http, parent, keep="optimizer", **{"from": "best"})

    assert weights["parent"]["step"] == state["parent"]["step"] == 5
    assert copies(parent, weights) == {"model.safetensors": b"the average at step 5"}
    assert copies(parent, state)["model.safetensors"] == b"model of best-5"


@pytest.mark.parametrize("source", ["last", 10])
async def test_a_clone_of_a_succeeded_job_starts_from_its_final_network(
    http: httpx.AsyncClient, parent: Parent, source: str | int
) -> None:
    parent.succeeded()

    job = await cloned(http, parent, **{"from": source})

    assert job["parent"].items() >= {"job": parent.id, "step": 10, "keep": "weights"}.items()
    assert copies(parent, job) == {"model.safetensors": b"the network"}


async def test_a_clone_may_be_cloned(http: httpx.AsyncClient, parent: Parent) -> None:
    job = await cloned(http, parent)

    problem = (await http.post(f"/v1/jobs/{job['id']}/clone", json={})).json()

    assert problem["detail"] == f"job {job['id']} has no checkpoint yet"


async def test_the_size_of_a_merged_spec_is_limited(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    moving = {"kind": "values", "values": [0.123456789] * 85_000}
    parent = Parent(
        client,
        root,
        training={"steps": 85_000},
        optimizer={"kind": "adam", "schedules": {"eps": moving, "beta1": moving}},
    )
    parent.checkpointed(3)

    job = await cloned(http, parent, changes={"name": "as large"})
    problem = await refused(http, parent, changes={"optimizer": {"schedules": {"beta2": moving}}})

    assert job["name"] == "as large"
    assert problem["errors"] == [
        {
            "param": "changes",
            "message": "changes must result in a spec of at most 3145728 bytes, got more",
        }
    ]


async def test_changes_are_merged_into_the_submitted_spec(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    parent = Parent(
        client,
        root,
        name="a",
        labels={"team": "ocr", "kind": "x"},
        optimizer={"kind": "adam", "dialect": "torch", "lr": 0.5},
    )
    parent.checkpointed(3)
    changes = {
        "name": "b",
        "labels": {"kind": None, "of": "a"},
        "priority": 3,
        "optimizer": {"kind": "momentum", "dialect": "paddle"},
        "training": {"steps": 20},
    }

    job = await cloned(http, parent, changes=changes)

    assert (job["name"], job["labels"], job["priority"]) == ("b", {"team": "ocr", "of": "a"}, 3)
    assert job["total_steps"] == 20
    optimizer = job["spec"]["optimizer"]
    assert (optimizer["kind"], optimizer["dialect"], optimizer["lr"]) == ("momentum", "paddle", 0.5)
    assert job["spec"]["training"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("changes", "param", "message"),
    [
        ({"optimizer": {"lr": -1}}, "optimizer.lr", "lr must be positive, got -1"),
        ({"optimizer": {"lrr": 1}}, "optimizer.lrr", "unknown field 'lrr'; did you mean 'lr'?"),
        ({"trainig": {}}, "trainig", "unknown field 'trainig'; did you mean 'training'?"),
        ({"optimizer": None}, "optimizer", "optimizer is required"),
        (
            {"schedule": {"kind": "values", "values": [0.1]}},
            "schedule.values",
            "values must",
        ),
    ],
)
async def test_a_clone_that_submit_would_refuse_is_refused(
    http: httpx.AsyncClient, parent: Parent, changes: Any, param: str, message: str
) -> None:
    problem = await refused(http, parent, changes=changes)

    assert problem["status"] == 422
    assert problem["errors"][0]["param"] == param
    assert problem["errors"][0]["message"].startswith(message)


# ------------------------------------------------------------------ what is not there


async def test_a_job_without_checkpoints_cannot_be_cloned(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    parent = Parent(client, root)

    last = await refused(http, parent)
    step = await refused(http, parent, **{"from": 3})
    best = await refused(http, parent, **{"from": "best"})

    assert {p["status"] for p in (last, step, best)} == {409}
    assert last["code"] == "nothing_to_clone"
    assert last["detail"] == step["detail"] == f"job {parent.id} has no checkpoint yet"
    assert best["detail"] == (
        f"job {parent.id} has no best checkpoint: a job saves one only if its spec sets "
        "training.keep_best, and only after an evaluation"
    )
    assert (await http.post("/v1/jobs/job_0/clone", json={})).status_code == 404


async def test_an_unknown_step_is_refused_with_the_retained_ones_named(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    problem = await refused(http, parent, **{"from": 4})

    assert problem["status"] == 422
    assert problem["errors"] == [
        {
            "param": "from",
            "message": "from must be last, best, or the step of a checkpoint of job "
            f"{parent.id} (3, 6), got 4",
        }
    ]


async def test_the_optimizer_of_a_job_that_kept_only_its_network_cannot_be_cloned(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    """As of a job that ended under release 0.2.0."""
    parent.succeeded()

    problem = await refused(http, parent, keep="optimizer")

    assert problem["errors"] == [
        {
            "param": "keep",
            "message": f"keep must be weights at the last step of job {parent.id}, at which only "
            "the network was saved (the optimizer's state was saved at step 3, 6), got optimizer",
        }
    ]
    await cloned(http, parent, keep="optimizer", **{"from": 6})


@pytest.mark.parametrize("source", ["last", 10])
async def test_the_optimizer_of_a_succeeded_job_is_cloned_from_its_last_checkpoint(
    http: httpx.AsyncClient, parent: Parent, source: str | int
) -> None:
    parent.succeeded(final_state=True)

    warm = await cloned(http, parent, keep="optimizer", **{"from": source})
    cold = await cloned(http, parent, **{"from": source})
    unknown = await refused(http, parent, **{"from": 4})

    assert warm["parent"].items() >= {"step": 10, "keep": "optimizer"}.items()
    assert copies(parent, warm)["state.safetensors"] == b"state of step-10"
    assert copies(parent, cold) == {"model.safetensors": b"the network"}
    assert unknown["errors"][0]["message"].endswith("(3, 6, 10), got 4")


async def test_the_last_state_of_a_job_that_kept_only_its_best_is_that(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    parent = Parent(client, root)
    parent.best_kept(5)

    assert (await cloned(http, parent))["parent"]["step"] == 5


async def test_a_damaged_checkpoint_is_refused_and_no_job_is_made(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    (path,) = parent.root.glob("**/step-6/model.safetensors")
    path.write_bytes(b"Model of step-6")

    problem = await refused(http, parent)

    assert (problem["status"], problem["code"]) == (409, "nothing_to_clone")
    assert problem["detail"].startswith(
        f"the checkpoint of job {parent.id} at step 6 is damaged: "
        "model.safetensors must have SHA-256"
    )


async def test_a_checkpoint_in_another_storage_is_refused(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    shutil.rmtree(parent.root / "jobs" / "local" / parent.id)

    problem = await refused(http, parent)

    assert problem["detail"] == (
        f"the checkpoint of job {parent.id} at step 6 is not in this service's storage"
    )


# ------------------------------------------------------------------ again


async def test_an_idempotency_key_returns_the_first_clone_even_after_its_parent_is_deleted(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await http.post(parent.path, json={"changes": {"name": "b"}}, headers=headers)
    shutil.rmtree(parent.root / "jobs" / "local" / parent.id)
    folders = list(parent.root.glob("jobs/local/*"))

    again = await http.post(parent.path, json={"changes": {"name": "b"}}, headers=headers)
    other = await http.post(parent.path, json={"changes": {"name": "c"}}, headers=headers)

    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert list(parent.root.glob("jobs/local/*")) == folders


async def test_an_error_about_a_field_that_is_not_changed_says_that_the_job_has_it(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    training = {"steps": 20, "frozen": ["fc1.*"]}
    parent = Parent(client, tmp_path / "storage", model={"kind": "mlp"}, training=training)
    layers = [{"kind": "flatten"}, {"kind": "linear", "out_features": 10}]

    kept, own = [
        (await http.post(parent.path, json={"changes": changes})).json()["errors"]
        for changes in (
            {"model": {"kind": "sequential", "layers": layers}},
            {"training": {"frozen": ["fc9.*"]}},
        )
    ]

    assert {error["param"] for error in (*kept, *own)} == {"training.frozen[0]"}
    assert kept[0]["message"].endswith(f"(1.weight, 1.bias); frozen is that of job {parent.id}")
    assert own[0]["message"].endswith("fc2.bias)")
