"""Waking many who watch."""

import asyncio

import pytest

from api.metrics.streams.subscriber import AT_A_TIME, Waker, Watcher

pytestmark = pytest.mark.anyio


async def test_what_else_is_asked_comes_in_between() -> None:
    woken: list[Watcher] = []
    most_at_once = 0

    async def watch(watcher: Watcher) -> None:
        await watcher.wait()
        woken.append(watcher)

    watchers = [Watcher() for _ in range(10 * AT_A_TIME)]
    async with asyncio.TaskGroup() as group:
        for watcher in watchers:
            group.create_task(watch(watcher))
        await asyncio.sleep(0)
        waker = Waker()
        waker.wake(watchers)
        while len(woken) < len(watchers):
            before = len(woken)
            await asyncio.sleep(0)  # a turn of somebody else
            most_at_once = max(most_at_once, len(woken) - before)

    assert 0 < most_at_once <= AT_A_TIME


async def test_all_are_woken_who_are_called_one_after_another() -> None:
    waker = Waker()
    watchers = [Watcher() for _ in range(3 * AT_A_TIME)]

    waker.wake(watchers[:-1])
    waker.wake(watchers[-1:])
    waker.wake(watchers)

    async with asyncio.timeout(5):
        await asyncio.gather(*(watcher.wait() for watcher in watchers))
        for _ in range(10):
            await asyncio.sleep(0)
        again = Watcher()
        waker.wake([again])
        await again.wait()
