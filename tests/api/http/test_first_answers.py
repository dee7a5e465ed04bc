"""Answers that take long to make the first time: other requests go on meanwhile."""

import asyncio

import httpx
import pytest

from api.catalogue.routes import _described

pytestmark = [pytest.mark.anyio, pytest.mark.alone]


@pytest.mark.parametrize("path", ["/v1/schedules", "/openapi.json"])
async def test_the_first_response_does_not_block_the_event_loop(
    http: httpx.AsyncClient, path: str
) -> None:
    _described.cache_clear()
    loop = asyncio.get_running_loop()
    began, held_up = loop.time(), 0.0

    answering = asyncio.create_task(http.get(path))
    while not answering.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        held_up = max(held_up, loop.time() - before)

    assert (await answering).status_code == 200
    assert held_up < (loop.time() - began) / 2  # on the event loop it would be all of it
