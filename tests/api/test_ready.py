"""Whether jobs can be accepted, when the store is not what it was."""

import anyio
import httpx
import pytest
import redis

pytestmark = pytest.mark.anyio


async def test_a_server_that_lost_its_functions_is_not_ready_until_the_reaper_gave_them_back(
    http: httpx.AsyncClient, client: redis.Redis
) -> None:
    assert (await http.get("/readyz")).status_code == 200
    client.function_flush()

    away = await http.get("/readyz")
    with anyio.fail_after(10):
        while (await http.get("/readyz")).status_code != 200:
            await anyio.sleep(0.05)

    assert away.status_code == 503
    assert away.json()["detail"] == "the store has lost its functions; they are being loaded"
