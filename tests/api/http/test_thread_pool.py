"""Work for requests: who waits for whom, and who is told to come again."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack

import pytest

from api.http.thread_pool import SMALL, THREADS, RequestWork, Turns, Work
from store.errors import Busy

pytestmark = pytest.mark.anyio


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Asker:
    """Clients that ask for turns and say when they have one."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.order: list[str] = []
        self.done = asyncio.Event()

    async def ask(self, client: str, *, begun: bool = False) -> None:
        async with self.turns.turn(client, begun=begun):
            self.order.append(client)
            await settled()


async def test_clients_take_turns_however_many_requests_each_has() -> None:
    asker = Asker(Turns(1))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.turns.turn("somebody"))
        for client in ["many"] * 4 + ["few", "other"]:
            group.create_task(asker.ask(client))
            await settled()
        assert asker.turns.num_waiting == 6
        await busy.aclose()

    assert asker.order == ["many", "few", "other", "many", "many", "many"]
    assert asker.turns.num_waiting == 0


async def test_only_so_many_go_at_a_time() -> None:
    asker = Asker(Turns(2))
    async with asker.turns.turn("a"), asker.turns.turn("b"):
        waiting = asyncio.create_task(asker.ask("c"))
        await settled()
        assert asker.order == []

    await waiting
    assert asker.order == ["c"]


async def test_a_client_with_too_many_requests_is_refused_and_others_are_not() -> None:
    asker = Asker(Turns(1, waiting_of_one=2))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.turns.turn("somebody"))
        for _ in range(2):
            group.create_task(asker.ask("many"))
            await settled()

        with pytest.raises(Busy, match="2 requests wait"):
            await asker.ask("many")
        group.create_task(asker.ask("other"))
        group.create_task(asker.ask("many", begun=True))  # an answer that has begun goes on
        await settled()
        await busy.aclose()

    assert asker.order == ["many", "other", "many", "many"]


async def test_when_too_many_wait_all_are_refused() -> None:
    asker = Asker(Turns(1, waiting=1))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.turns.turn("somebody"))
        group.create_task(asker.ask("a"))
        await settled()

        with pytest.raises(Busy):
            await asker.ask("b")
        await busy.aclose()


async def test_who_waits_too_long_is_refused() -> None:
    asker = Asker(Turns(1, patience_s=0.01))
    async with asker.turns.turn("somebody"):
        with pytest.raises(Busy):
            await asker.ask("a")
        assert asker.turns.num_waiting == 0

    await asker.ask("a")
    assert asker.order == ["a"]


async def test_a_turn_of_a_request_that_went_away_is_the_next_ones() -> None:
    asker = Asker(Turns(1))
    async with AsyncExitStack() as busy, asyncio.TaskGroup() as group:
        await busy.enter_async_context(asker.turns.turn("somebody"))
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


async def test_what_is_small_is_done_at_once_and_what_is_not_in_a_thread() -> None:
    work = Work()
    try:
        of_request = RequestWork(work, "client", SMALL)

        here = await of_request.do(SMALL, threading.get_ident)
        there = await of_request.do(SMALL + 1, threading.get_ident)
    finally:
        work.close()

    assert here == threading.get_ident() != there


async def test_a_loop_goes_on_while_all_threads_are_busy() -> None:
    work = Work()
    go = threading.Event()
    try:
        held = [asyncio.create_task(work.run("client", go.wait)) for _ in range(THREADS + 1)]
        await settled()

        assert not any(task.done() for task in held)
        go.set()
        assert await asyncio.gather(*held) == [True] * (THREADS + 1)
    finally:
        go.set()
        work.close()


async def test_the_parts_of_an_answer_come_in_their_order() -> None:
    work = Work()

    try:
        found = [part async for part in work.parts("client", iter("abc"))]
    finally:
        work.close()

    assert found == ["a", "b", "c"]
