"""Whether the service says that it is ready."""

import httpx
import pytest
import redis

pytestmark = pytest.mark.anyio


async def test_a_server_that_lost_its_functions_gets_them_with_the_next_request(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    assert (await http.get("/readyz")).status_code == 200

    for path in ("/readyz", "/v1/jobs", "/metrics", "/v1/queue"):
        client.function_flush()
        assert (await http.get(path)).status_code == 200


async def test_the_service_is_not_ready_without_its_store(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    client.config_set("maxclients", 1)
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]

    try:
        away = await http.get("/readyz")
    finally:
        client.config_set("maxclients", 10_000)

    assert (away.status_code, away.json()["code"]) == (503, "store_unavailable")
