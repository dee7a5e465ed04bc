"""
The service in one process, for tests that start it where packages are installed.

``python -m tests.support.service.packaged URL HOME JOBS``: submits the jobs in the JSON list JOBS
to the application, trains the first, and prints what it has seen as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import redis

from api.app import create_app
from optcore.training import loop
from store.jobs import calls
from store.jobs.calls import Claim
from store.redis.functions import send
from store.settings import Settings
from tests.support.store.protocol import hello, storage_of
from worker.attempt.attempt import Attempt
from worker.attempt.session import Tools

CATALOGUES = ("layers", "models", "datasets")


def train_next(client: redis.Redis, home: Path, token: str = "t") -> str:
    """Claim the next job and train it, as a worker and its trainer do; return the outcome."""
    hello(client)
    call = calls.claim("w1", device="cpu", fingerprint="f1", token=token, lease_ms=600_000)
    record = send(client, call)
    assert record is not None
    storage, leaving = storage_of(client, home / "storage"), threading.Event()
    tools = Tools(client, storage, Settings(home=home), "cpu", leaving, loop.train)
    return Attempt(Claim(record.tenant, record.id, token), record, tools).train()


async def main(url: str, home: Path, jobs: list[dict[str, Any]]) -> None:
    """Print what the service answers."""
    (home / "storage").mkdir(parents=True)
    app = create_app(Settings(OPTSERVE_REDIS_URL=url, home=home))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            seen: dict[str, Any] = {}
            for name in CATALOGUES:
                entries = (await http.get(f"/v1/{name}")).json()["data"]
                seen[name] = {each["name"]: each for each in entries if each["package"]}
            seen["schemas"] = (await http.get("/openapi.json")).json()["components"]["schemas"]
            seen["plan"] = (await http.post("/v1/jobs/validate", json=jobs[0])).json()
            wrong = {**jobs[0], "model": {**jobs[0]["model"], "hidden": 0}}
            seen["refused"] = (await http.post("/v1/jobs/validate", json=wrong)).json()
            submitted = [(await http.post("/v1/jobs", json=job)).json()["id"] for job in jobs]
            with redis.from_url(url) as client:
                seen["outcome"] = await asyncio.to_thread(train_next, client, home)
            seen["jobs"] = [(await http.get(f"/v1/jobs/{each}")).json() for each in submitted]
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])))
