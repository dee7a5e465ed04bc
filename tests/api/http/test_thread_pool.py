"""The thread pool of large requests: order, limits and timeouts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack

import pytest
from starlette.applications import Starlette

from api.http.thread_pool import (
    MAX_WAITING_PER_CLIENT,
    SMALL,
    THREADS,
    FairSemaphore,
    FairThreadPool,
    RequestThreads,
    threads_of,
)
from store.errors import Busy

pytestmark = pytest.mark.anyio


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Asker:
    """Clients that wait for a semaphore, in the order in which they got it."""

    def __init__(self, semaphore: FairSemaphore) -> None:
        self.semaphore = semaphore
        self.order: list[str] = []
        self.done = asyncio.Event()

    async def ask(self, client: str, *, must: bool = False) -> None:
        async with self.semaphore.acquired(client, must=must):
            self.order.append(client)
            await settled()


async def test_clients_take_turns_however_many_requests_each_sends() -> None:
    asker = Asker(FairSemaphore(1))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.semaphore.acquired("somebody"))
        for client in ["many"] * 4 + ["few", "other"]:
            group.create_task(asker.ask(client))
            await settled()
        assert asker.semaphore.num_waiting == 6
        await busy.aclose()

    assert asker.order == ["many", "few", "other", "many", "many", "many"]
    assert asker.semaphore.num_waiting == 0


async def test_no_more_than_num_hold_it_at_a_time() -> None:
    asker = Asker(FairSemaphore(2))
    async with asker.semaphore.acquired("a"), asker.semaphore.acquired("b"):
        waiting = asyncio.create_task(asker.ask("c"))
        await settled()
        assert asker.order == []

    await waiting
    assert asker.order == ["c"]


async def test_a_client_beyond_its_limit_of_waiters_is_refused_and_others_are_not() -> None:
    asker = Asker(FairSemaphore(1, max_waiting_per_client=2))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.semaphore.acquired("somebody"))
        for _ in range(2):
            group.create_task(asker.ask("many"))
            await settled()

        with pytest.raises(Busy, match="2 requests are already waiting"):
            await asker.ask("many")
        group.create_task(asker.ask("other"))
        group.create_task(asker.ask("many", must=True))  # a response that has begun is not refused
        await settled()
        await busy.aclose()

    assert asker.order == ["many", "other", "many", "many"]


async def test_beyond_the_limit_of_all_waiters_every_client_is_refused() -> None:
    asker = Asker(FairSemaphore(1, max_waiting=1))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.semaphore.acquired("somebody"))
        group.create_task(asker.ask("a"))
        await settled()

        with pytest.raises(Busy):
            await asker.ask("b")
        await busy.aclose()


async def test_a_wait_beyond_the_timeout_is_refused() -> None:
    asker = Asker(FairSemaphore(1, timeout_s=0.01))
    async with asker.semaphore.acquired("somebody"):
        with pytest.raises(Busy):
            await asker.ask("a")
        assert asker.semaphore.num_waiting == 0

    await asker.ask("a")
    assert asker.order == ["a"]


async def test_the_turn_of_a_cancelled_request_passes_to_the_next() -> None:
    asker = Asker(FairSemaphore(1))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.semaphore.acquired("somebody"))
        gone = asyncio.create_task(asker.ask("gone"))
        given = asyncio.create_task(asker.ask("given"))
        await settled()
        gone.cancel()
        await settled()
        group.create_task(asker.ask("other"))
        await settled()
        await busy.aclose()  # the turn is given ...
        given.cancel()  # ... to one who leaves in the same moment

    assert asker.order == ["other"]
    await asker.ask("again")
    assert asker.order == ["other", "again"]


async def test_small_requests_run_on_the_event_loop_and_large_ones_in_a_thread() -> None:
    pool = FairThreadPool()
    try:
        of_request = RequestThreads(pool, "client", SMALL)

        here = await of_request.run(SMALL, threading.get_ident)
        there = await of_request.run(SMALL + 1, threading.get_ident)
    finally:
        pool.close()

    assert here == threading.get_ident() != there


async def test_the_addresses_of_an_ipv6_network_share_the_turns_of_one_client() -> None:
    pool, go = FairThreadPool(), threading.Event()
    app = Starlette()
    app.state.thread_pool = pool

    def run(host: str) -> Coroutine[None, None, bool]:
        scope = {"type": "http", "client": (host, 1), "app": app}
        return threads_of(scope).run(SMALL + 1, go.wait)

    try:
        network = [f"2001:db8:1:2::{i}" for i in range(1, THREADS + MAX_WAITING_PER_CLIENT + 1)]
        held = [asyncio.create_task(run(host)) for host in network]
        await settled()

        with pytest.raises(Busy):
            await asyncio.wait_for(run("2001:db8:1:2::ffff"), timeout=5)
        held.append(asyncio.create_task(run("2001:db8:1:3::1")))
        await settled()
        go.set()
        assert all(await asyncio.gather(*held))
    finally:
        go.set()
        pool.close()


async def test_the_event_loop_is_not_blocked_while_all_threads_are_busy() -> None:
    pool = FairThreadPool()
    go = threading.Event()
    try:
        held = [asyncio.create_task(pool.run("client", go.wait)) for _ in range(THREADS + 1)]
        await settled()

        assert not any(task.done() for task in held)
        go.set()
        assert await asyncio.gather(*held) == [True] * (THREADS + 1)
    finally:
        go.set()
        pool.close()


async def test_the_parts_of_a_response_keep_their_order() -> None:
    pool = FairThreadPool()

    try:
        found = [part async for part in pool.iterate("client", iter("abc"))]
    finally:
        pool.close()

    assert found == ["a", "b", "c"]
