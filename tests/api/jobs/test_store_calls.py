"""How often the store is called for the requests that a user waits for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from api.app import create_app
from api.jobs.expected import ExpectedTimes
from optserve.local.embedded import EmbeddedServer
from store.settings import Settings

pytestmark = pytest.mark.anyio

JOB: dict[str, Any] = {
    "model": {"kind": "mlp"},
    "dataset": {"kind": "digits"},
    "optimizer": {"kind": "adam"},
    "training": {"steps": 15},
}


class Service:
    """The application in this process, and the commands that its requests send to the store."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.sent: list[object] = []

    async def post(self, path: str, status: int) -> list[object]:
        """Post the job, and return the names of the commands that this sent."""
        self.sent.clear()
        response = await self._http.post(path, json=JOB)
        assert response.status_code == status
        return list(self.sent)


@pytest.fixture
async def service(
    client: redis.Redis, server: EmbeddedServer, tmp_path: Path
) -> AsyncIterator[Service]:
    app = create_app(Settings(OPTSERVE_REDIS_URL=server.url, home=tmp_path))
    async with app.router.lifespan_context(app):
        # On a busy machine a second may pass between two requests.
        app.state.expected_times = ExpectedTimes(app.state.store, fresh_s=60)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            found = Service(http)
            connected, plain = app.state.client, app.state.client.execute_command

            async def execute(*command: object, **options: object) -> object:
                found.sent.append(command[0])
                return await plain(*command, **options)

            connected.execute_command = execute
            yield found


async def test_a_submission_calls_the_store_once(service: Service) -> None:
    assert await service.post("/v1/jobs", 201) == ["FCALL"]
    assert await service.post("/v1/jobs", 201) == ["FCALL"]


async def test_the_plans_of_one_kind_of_job_call_the_store_once_while_durations_are_fresh(
    service: Service,
) -> None:
    assert await service.post("/v1/jobs/validate", 200) == ["FCALL_RO"]
    assert await service.post("/v1/jobs/validate", 200) == []
