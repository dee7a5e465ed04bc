"""
Threads for what may hang: a file of a storage that does not answer holds its reader for good.

Those of asyncio's own executor are few, shared by all, and waited for when the process ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Saturated(Exception):
    """No thread is to be had: calls that were given up hold all of them, or too many wait."""


class Threads:
    """
    Threads for one kind of work, which a process that ends does not wait for.

    A call that was given up holds its thread until it returns. Once such calls hold
    every thread, further ones are refused, and so are those that wait for a thread.

    Args:
        num: so many calls at a time, at most; more of them wait for a thread.
        max_waiting: how many may wait.
    """

    def __init__(self, num: int, *, max_waiting: int | None = None) -> None:
        self._num, self._max_waiting = num, max_waiting
        self._busy = self._given_up = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def given_up(self) -> int:
        """Number of calls that were given up and still run."""
        return self._given_up

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call *function* in a thread of its own; cancelling the wait does not end it.

        Raises:
            Saturated: it was not called.
        """
        await self._thread()
        loop = asyncio.get_running_loop()
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # it runs on, even if the wait for it is cancelled
        forgotten = False

        def work() -> None:
            try:
                done.set_result(function(*args, **kwargs))
            except BaseException as error:  # raised where it is waited for
                done.set_exception(error)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(returned)

        def returned() -> None:
            self._given_up -= forgotten
            self._pass_on()

        try:
            Thread(target=work, daemon=True).start()
        except RuntimeError:  # the system has no thread left
            self._pass_on()
            raise Saturated from None
        try:
            return await asyncio.wrap_future(done)
        except asyncio.CancelledError:
            if not done.done():
                forgotten = True
                self._give_up()
            raise

    async def _thread(self) -> None:
        """Wait for a thread."""
        if self._given_up >= self._num:
            raise Saturated
        if self._busy < self._num:
            self._busy += 1
            return
        if self._max_waiting is not None and len(self._waiting) >= self._max_waiting:
            raise Saturated
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on()  # it was given a thread in the same moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _pass_on(self) -> None:
        """Give the thread of a call that has returned to the next one that waits."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1

    def _give_up(self) -> None:
        self._given_up += 1
        if self._given_up >= self._num:
            for turn in self._waiting:
                if not turn.done():
                    turn.set_exception(Saturated())
            self._waiting.clear()
