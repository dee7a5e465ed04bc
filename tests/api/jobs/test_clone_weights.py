"""Clones whose network differs from their parent's: what they take, and under which names."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from store.jobs.record import FORMER
from tests.support.store.parents import Parent
from tests.support.store.protocol import record_of

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
BODY: list[Json] = [
    {"kind": "flatten"},
    {"kind": "linear", "name": "a", "out_features": 16},
    {"kind": "batch_norm", "name": "norm"},
    {"kind": "relu"},
]
FC: Json = {"kind": "linear", "name": "fc", "out_features": 10}
NETWORK: Json = {"kind": "sequential", "layers": [*BODY, FC]}
INSIDE: Json = {
    "kind": "sequential",
    "layers": [{"kind": "sequential", "name": "backbone", "layers": BODY}, {**FC, "name": "head"}],
}
TAKEN: Json = {
    "prefixes": [{"from": "", "to": "backbone"}],
    "fresh": ["head.*"],
    "omit": ["fc.*"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def parent(client: redis.Redis, root: Path) -> Parent:
    made = Parent(client, root, model=NETWORK)
    made.checkpointed(3, 6)
    return made


async def cloned(http: httpx.AsyncClient, parent: Parent, **body: Any) -> Json:
    response = await http.post(parent.path, json=body)
    assert response.status_code == 201, response.text
    job: Json = response.json()
    return job


async def errors(http: httpx.AsyncClient, parent: Parent, **body: Any) -> list[Json]:
    """Return why a clone is refused, which leaves nothing behind."""
    before = sorted(parent.root.glob("jobs/local/*"))
    response = await http.post(parent.path, json=body)
    assert response.status_code == 422, response.text
    assert sorted(parent.root.glob("jobs/local/*")) == before
    found: list[Json] = response.json()["errors"]
    return found


async def test_a_network_becomes_a_block_of_another(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    changes = {"model": INSIDE, "training": {"frozen": ["backbone.*"]}}

    job = await cloned(http, parent, changes=changes, **TAKEN)

    seen = {"job": parent.id, "step": 6, "keep": "weights", "warnings": [], **TAKEN}
    assert job["parent"] == seen
    read = (await http.get(f"/v1/jobs/{job['id']}")).json()
    (listed,) = [
        each for each in (await http.get("/v1/jobs")).json()["data"] if each["id"] == job["id"]
    ]
    assert read["parent"] == listed["parent"] == seen
    record = record_of(parent.client, job["id"])
    assert record.starting_state is not None
    assert record.starting_state.weights.stored() == TAKEN
    # 0.2.0 would look for backbone.a.weight in the file.
    assert record.fields["format"] != FORMER


async def test_a_clone_that_takes_all_weights_may_be_trained_by_0_2_0(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    parent = Parent(client, root)
    parent.checkpointed(3)

    plain = await cloned(http, parent)
    mapped = await cloned(http, parent, fresh=["fc2.*"])

    assert record_of(client, plain["id"]).fields["format"] == FORMER
    assert "fresh" not in record_of(client, plain["id"]).fields["parent"]
    assert record_of(client, mapped["id"]).fields["format"] != FORMER


async def test_without_a_map_every_difference_is_told(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    found = await errors(http, parent, changes={"model": INSIDE})

    names = "a.weight, a.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var"
    inside = ", ".join(f"backbone.{name}" for name in names.split(", "))
    tracked = "norm.num_batches_tracked"
    assert found == [
        {
            "param": "changes.model",
            "message": f"model must have no weights but those of job {parent.id}, which it starts "
            f"from, got {inside}, backbone.{tracked}, head.weight, head.bias; name in fresh what "
            "is initialised, or map names with prefixes",
        },
        {
            "param": "changes.model",
            "message": f"model must have all weights of job {parent.id}, which it starts from, got "
            f"none for {names}, {tracked}, fc.weight, fc.bias; name in omit what is left out, or "
            "map names with prefixes",
        },
    ]


async def test_a_wider_layer_is_told_with_both_shapes(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    wider = {"kind": "sequential", "layers": [*BODY, {**FC, "name": "wide"}, {**FC, "bias": False}]}

    different, missing, left = await errors(http, parent, changes={"model": wider})

    assert different["message"] == (
        f"model must have the weights of job {parent.id}, which it starts from: fc.weight must be "
        "linear of shape [10, 16], got linear of shape [10, 10]"
    )
    assert "got wide.weight, wide.bias; name in fresh" in missing["message"]
    assert "got none for fc.bias; name in omit" in left["message"]
    await cloned(http, parent, changes={"model": wider}, fresh=["fc.*", "wide.*"], omit=["fc.bias"])


async def test_a_prefix_that_finds_nothing_is_refused(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    taken = {**TAKEN, "prefixes": [{"from": "", "to": "back"}]}

    (problem,) = await errors(http, parent, changes={"model": INSIDE}, **taken)

    assert problem["param"] == "prefixes[0].to"
    assert problem["message"].startswith(
        "to must begin names of weights of the clone, got 'back'; did you mean 'backbone'? (backb"
    )


async def test_the_optimizer_state_does_not_go_on_with_other_trained_parameters(
    http: httpx.AsyncClient, parent: Parent
) -> None:
    changes = {"training": {"frozen": ["a.*"]}}

    (problem,) = await errors(http, parent, keep="optimizer", changes=changes)
    (mapped,) = await errors(http, parent, keep="optimizer", fresh=["fc.*"])

    assert problem == {
        "param": "keep",
        "message": "keep must be weights if training.frozen changes which parameters have a state "
        "of the optimizer, got optimizer, and a change of a.bias, a.weight",
    }
    assert mapped == {
        "param": "keep",
        "message": "keep must be weights with prefixes, fresh or omit, got optimizer",
    }
    await cloned(http, parent, changes=changes)


async def test_frozen_parameters_do_not_change_what_a_clone_may_take(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    parent = Parent(client, root, model=NETWORK, training={"steps": 10, "frozen": ["a.*"]})
    parent.checkpointed(3)

    await cloned(http, parent, keep="optimizer")
    await cloned(http, parent, changes={"training": {"frozen": None}})
