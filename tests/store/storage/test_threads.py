"""Threads that may hang."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from threading import Event

import pytest

from store.storage.threads import Saturated, Threads

pytestmark = pytest.mark.anyio

HANGS = """
import asyncio, threading
from store.storage.threads import Threads

async def main():
    threads = Threads(2)
    for _ in range(2):
        try:
            await asyncio.wait_for(threads.run(threading.Event().wait), 0.1)
        except TimeoutError:
            print("hung")

asyncio.run(main())
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def given_up(threads: Threads, hanging: Event) -> None:
    """Leave a call behind that hangs until *hanging* is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(threads.run(hanging.wait), 0.01)


async def until(threads: Threads, count: int) -> None:
    while threads.given_up != count:
        await asyncio.sleep(0.001)


def test_a_process_ends_whose_threads_hang() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=True
    )

    assert ended.stdout.split() == ["hung", "hung"]


async def test_a_call_waits_for_a_thread_and_has_it_once_another_returns() -> None:
    threads, first, second = Threads(1), Event(), Event()
    running = asyncio.create_task(threads.run(first.wait))
    waiting = asyncio.create_task(threads.run(second.is_set))
    await asyncio.sleep(0)
    second.set()

    first.set()

    assert await running is True
    assert await waiting is True
    assert await threads.run(lambda: 3) == 3


async def test_an_error_is_raised_where_the_call_is_waited_for_and_frees_its_thread() -> None:
    threads = Threads(1)

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await threads.run(divmod, 1, 0)


async def test_calls_are_refused_while_forgotten_ones_hold_every_thread() -> None:
    threads, hanging = Threads(2), Event()
    await given_up(threads, hanging)
    assert await threads.run(lambda: 1) == 1
    await given_up(threads, hanging)

    with pytest.raises(Saturated):
        await threads.run(lambda: 2)
    hanging.set()
    await until(threads, 0)

    assert await threads.run(lambda: 3) == 3


async def test_those_that_wait_are_refused_too_once_all_are_forgotten() -> None:
    threads, hanging = Threads(1), Event()
    running = asyncio.create_task(threads.run(hanging.wait))
    waiting = [asyncio.create_task(threads.run(hanging.is_set)) for _ in range(3)]
    await asyncio.sleep(0.01)

    running.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    hanging.set()
    await until(threads, 0)

    assert [type(each) for each in found] == [Saturated] * 3
    assert await threads.run(lambda: 1) == 1


async def test_only_so_many_may_wait() -> None:
    threads, hanging = Threads(1, max_waiting=2), Event()
    tasks = [asyncio.create_task(threads.run(hanging.wait)) for _ in range(3)]
    await asyncio.sleep(0.01)

    with pytest.raises(Saturated):
        await threads.run(lambda: 1)
    hanging.set()

    assert await asyncio.gather(*tasks) == [True] * 3


async def test_who_no_longer_waits_for_a_thread_does_not_keep_it() -> None:
    threads, hanging = Threads(1), Event()
    running = asyncio.create_task(threads.run(hanging.wait))
    impatient = [asyncio.create_task(threads.run(hanging.is_set)) for _ in range(3)]
    await asyncio.sleep(0.01)

    impatient[1].cancel()
    hanging.set()
    await running
    impatient[0].cancel()  # it may have been given the thread in this very moment

    assert await impatient[2] is True
    assert await threads.run(lambda: 1) == 1
    assert threads.given_up == 0
