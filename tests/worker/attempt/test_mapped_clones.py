"""A clone of another network, from the request to its weights."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from safetensors.torch import load_file
from torch import Tensor

from optcore.training import loop
from store.jobs.calls import Claim
from store.settings import Settings
from tests.support.store.protocol import claim, record_of, storage_of
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
BODY: list[Json] = [
    {"kind": "flatten"},
    {"kind": "linear", "name": "a", "out_features": 16},
    {"kind": "batch_norm", "name": "norm"},
    {"kind": "relu"},
]
BLOCK: Json = {"kind": "sequential", "name": "backbone", "layers": BODY}
HEAD: Json = {"kind": "linear", "name": "head", "out_features": 10}
JOB: Json = {
    "model": {"kind": "sequential", "layers": [*BODY, HEAD]},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam", "lr": 0.01},
    "training": {"steps": 8, "device": "cpu", "checkpoint_every": 3},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def trained(client: redis.Redis, root: Path) -> dict[str, Tensor]:
    """Train the next job as a worker does; return its weights."""
    record = claim(client, "t")
    assert record is not None
    settings = Settings(home=root.parent)
    tools = Tools(client, storage_of(client, root), settings, "cpu", threading.Event(), loop.train)
    outcome = Attempt(Claim(record.tenant, record.id, "t"), record, tools).train()
    assert outcome == "succeeded"
    return load_file(root / record_of(client, record.id).artifacts["model.safetensors"]["path"])


async def test_a_frozen_backbone_is_that_of_the_parent_to_the_last_bit(
    http: httpx.AsyncClient, client: redis.Redis, root: Path
) -> None:
    root.mkdir()
    storage_of(client, root)
    parent = (await http.post("/v1/jobs", json=JOB)).json()
    theirs = trained(client, root)
    body = {
        "prefixes": [{"from": "", "to": "backbone"}],
        "fresh": ["head.*"],
        "omit": ["head.*"],
        "changes": {
            "model": {"kind": "sequential", "layers": [BLOCK, HEAD]},
            "training": {"frozen": ["backbone.*"], "frozen_statistics": True},
        },
    }

    response = await http.post(f"/v1/jobs/{parent['id']}/clone", json=body)
    assert response.status_code == 201, response.text
    ours = trained(client, root)

    taken = {name: tensor for name, tensor in theirs.items() if not name.startswith("head.")}
    assert len(taken) == 7
    for name, tensor in taken.items():
        assert ours[f"backbone.{name}"].equal(tensor), name
    assert ours.keys() == {*(f"backbone.{name}" for name in taken), "head.weight", "head.bias"}
    assert not ours["head.weight"].equal(theirs["head.weight"])
