"""
Threads for what may hang: a file of a storage that does not answer holds its reader for good.

Those of asyncio's own executor are few, shared by all, and waited for when the process ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """
    Threads for one kind of work, which a process that ends does not wait for.

    Args:
        num: so many at a time, at most; more work waits for one.
    """

    def __init__(self, num: int) -> None:
        self._free = asyncio.Semaphore(num)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a thread of its own; who stops waiting for it does not end it."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # from here on it is busy, whoever still waits

        def work() -> None:
            try:
                done.set_result(function(*args, **kwargs))
            except BaseException as error:  # raised where it is waited for
                done.set_exception(error)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._free.release)

        Thread(target=work, daemon=True).start()
        return await asyncio.wrap_future(done)
