"""The list of checkpoints over HTTP."""

from pathlib import Path

import httpx
import pytest
import redis

from store.jobs import calls
from store.redis.functions import send
from tests.support.store.protocol import append, begin, some_rows, submit

pytestmark = pytest.mark.anyio


async def test_checkpoints_are_listed_with_their_size_and_the_best_is_marked(
    http: httpx.AsyncClient, client: redis.Redis, tmp_path: Path
) -> None:
    job_id = submit(client)
    assert (await http.get(f"/v1/jobs/{job_id}/checkpoints")).json()["data"] == []
    held = begin(client)
    append(client, held, 0, some_rows(0, 9))
    here = tmp_path / "storage" / "here"
    here.mkdir(parents=True)
    (here / "model.safetensors").write_bytes(bytes(70))
    for step, path in ((3, "here"), (6, "gone")):
        send(client, calls.checkpointed(held, step=step, path=path, sha256="s", digest="d"))
    best = calls.best_kept(held, step=3, path="b", sha256="s", metric="test_loss", value=0.25)
    send(client, best)

    page = (await http.get(f"/v1/jobs/{job_id}/checkpoints")).json()
    job = (await http.get(f"/v1/jobs/{job_id}")).json()

    assert page == {
        "object": "list",
        "data": [
            {"object": "checkpoint", "step": 3, "sha256": "s", "size": 70, "best": True},
            {"object": "checkpoint", "step": 6, "sha256": "s", "size": None, "best": False},
        ],
        "has_more": False,
        "next": None,
    }
    assert job["best"] == {"step": 3, "metric": "test_loss", "value": 0.25}
    assert (await http.get("/v1/jobs/job_0/checkpoints")).status_code == 404
