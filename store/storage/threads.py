"""
Threads for calls that may hang, such as reads from a mount that does not respond.

asyncio's own executor does not suit such calls. Its threads are few, all code shares them, and the
process waits for them when it ends.
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
    """No thread is available: abandoned calls hold all of them, or too many calls wait."""


class Threads:
    """
    A limited number of threads for one kind of work; the process does not wait for them at its end.

    A call is abandoned if its caller has stopped waiting. An abandoned call holds its thread until
    it returns. Once abandoned calls hold every thread, further calls fail, and so do the calls that
    wait for a thread.

    Args:
        num: the maximum number of calls that run at the same time; further calls wait.
        max_waiting: the maximum number of calls that wait; None for no limit.
    """

    def __init__(self, num: int, *, max_waiting: int | None = None) -> None:
        self._num, self._max_waiting = num, max_waiting
        self._busy = self._given_up = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def given_up(self) -> int:
        """Number of abandoned calls that are still running."""
        return self._given_up

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call *function* in a thread and return its result.

        Cancelling this coroutine abandons the call: *function* continues to run in its thread.

        Raises:
            Saturated: no thread is available; *function* was not called.
        """
        await self._thread()
        loop = asyncio.get_running_loop()
        done: Future[T] = Future()
        done.set_running_or_notify_cancel()  # so that cancelling the wait does not cancel the call
        forgotten = False

        def work() -> None:
            try:
                done.set_result(function(*args, **kwargs))
            except BaseException as error:  # raised by the await below
                done.set_exception(error)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(returned)

        def returned() -> None:
            self._given_up -= forgotten
            self._pass_on()

        try:
            Thread(target=work, daemon=True).start()
        except RuntimeError:  # the system cannot start another thread
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
        """
        Wait until a thread is available.

        Raises:
            Saturated: too many calls wait already, or abandoned calls hold all threads.
        """
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
                self._pass_on()  # this call was given a thread just before it was cancelled
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise

    def _pass_on(self) -> None:
        """Let the next waiting call use the thread of a call that has returned."""
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
