"""Waking many subscribers."""

import asyncio

import pytest

from api.metrics.streams.subscriber import WAKE_AT_ONCE, Subscriber, Waker

pytestmark = pytest.mark.anyio


async def test_other_tasks_run_while_many_subscribers_are_woken() -> None:
    woken: list[Subscriber] = []
    most_at_once = 0

    async def watch(subscriber: Subscriber) -> None:
        await subscriber.wait()
        woken.append(subscriber)

    subscribers = [Subscriber() for _ in range(10 * WAKE_AT_ONCE)]
    async with asyncio.TaskGroup() as group:
        for subscriber in subscribers:
            group.create_task(watch(subscriber))
        await asyncio.sleep(0)
        waker = Waker()
        waker.wake(subscribers)
        while len(woken) < len(subscribers):
            before = len(woken)
            await asyncio.sleep(0)  # a turn of somebody else
            most_at_once = max(most_at_once, len(woken) - before)

    assert 0 < most_at_once <= WAKE_AT_ONCE


async def test_all_subscribers_of_consecutive_calls_are_woken() -> None:
    waker = Waker()
    subscribers = [Subscriber() for _ in range(3 * WAKE_AT_ONCE)]

    waker.wake(subscribers[:-1])
    waker.wake(subscribers[-1:])
    waker.wake(subscribers)

    async with asyncio.timeout(5):
        await asyncio.gather(*(subscriber.wait() for subscriber in subscribers))
        for _ in range(10):
            await asyncio.sleep(0)
        again = Subscriber()
        waker.wake([again])
        await again.wait()
