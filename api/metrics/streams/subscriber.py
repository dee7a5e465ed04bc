"""Those who watch a job through a stream: woken when there is something to tell."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

AT_A_TIME = 32
"""Watchers that are woken together: each of them sends then, and all else waits meanwhile."""


class Watcher:
    """
    One who watches a job.

    Attributes:
        leaving: whether the stream is to end, so that its client comes back by id.
        pinged: whether a ping is due.
    """

    def __init__(self) -> None:
        self.leaving = False
        self.pinged = False
        self._woken = False
        self._waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End its wait, or the next one if it does not wait now."""
        self._woken = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def leave(self) -> None:
        """Let the stream end."""
        self.leaving = True
        self.wake()

    def ping(self) -> None:
        """Let the stream show that it lives."""
        self.pinged = True
        self.wake()

    async def wait(self) -> None:
        """Return as soon as there may be something to tell."""
        if not self._woken:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
            self._waiting = None
        self._woken = False


class Waker:
    """Wakes many who watch, some at a time: what else this process is asked comes in between."""

    def __init__(self) -> None:
        self._asleep: deque[Watcher] = deque()
        self._on_the_way = False

    def wake(self, watchers: Iterable[Watcher]) -> None:
        """Wake *watchers* soon, after those that were to be woken before."""
        self._asleep.extend(watchers)
        if not self._on_the_way:
            self._wake_some()

    def _wake_some(self) -> None:
        for _ in range(min(AT_A_TIME, len(self._asleep))):
            self._asleep.popleft().wake()
        self._on_the_way = bool(self._asleep)
        if self._on_the_way:
            asyncio.get_running_loop().call_soon(self._wake_some)
