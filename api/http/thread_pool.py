"""
Work for a request that would hold up all others: done in a few threads, whose turns are fair.

A large body takes a second to be parsed, checked and planned. On the event loop nobody else would
be answered meanwhile; in threads that all share, a few clients could take them all. So there are
few threads of their own, and clients take turns: each waits behind its own requests, and behind one
of every other client, however many those have sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.types import Scope

from store.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2
"""More of them compute no faster, as the interpreter runs one at a time, and delay the loop."""
WAITING = 256
"""Requests that may wait, those of all clients together."""
WAITING_OF_ONE = 32
"""Requests that may wait of one client."""
PATIENCE_S = 20.0
"""Seconds that a request waits for its turn."""
BODY, BODY_SIZE = "optserve.body", "optserve.body_size"
"""Where the ASGI scope of a request holds what its body says, and how many bytes that takes."""
SMALL = 2048
"""Bytes of JSON whose work is done at once: a job is parsed sooner than a thread is woken."""
VALUES_PER_BYTE = 10
"""Values of a schedule that are computed as soon as a byte of a spec is parsed."""


class Turns:
    """
    Turns where only some may go at a time: each client's in their order, and the clients in turn.

    Args:
        num: how many may go at a time.
        waiting: how many may wait.
        waiting_of_one: how many of one client.
        patience_s: seconds for which they wait.
    """

    def __init__(
        self,
        num: int,
        *,
        waiting: int = WAITING,
        waiting_of_one: int = WAITING_OF_ONE,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._free, self._patience_s = num, patience_s
        self._most, self._most_of_one = waiting, waiting_of_one
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def num_waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def turn(self, client: str, *, begun: bool = False) -> AsyncIterator[None]:
        """
        Wait for a turn of *client*, and have it for as long as the context lasts.

        Args:
            client: whose.
            begun: an answer has begun: it waits however long, as nobody can be told any more.

        Raises:
            Busy: too many wait, or it took too long.
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(client, begun=begun)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: str, *, begun: bool) -> None:
        line = self._lines.setdefault(client, deque())
        full = len(line) >= self._most_of_one or self.num_waiting >= self._most
        if full and not begun:
            raise Busy(self.num_waiting)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(turn)
        try:
            async with asyncio.timeout(None if begun else self._patience_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it was given in the same moment
            elif turn in line:
                line.remove(turn)
            if isinstance(error, TimeoutError):
                raise Busy(self.num_waiting) from None
            raise

    def _pass_on(self) -> None:
        """Give a turn to the client that has had none for longest."""
        for client, line in list(self._lines.items()):
            del self._lines[client]
            while line:
                turn = line.popleft()
                if not turn.done():
                    if line:
                        self._lines[client] = line  # behind all others
                    turn.set_result(None)
                    return
        self._free += 1


class Work:
    """The threads of a process, and the turns of its clients."""

    def __init__(self) -> None:
        self._turns = Turns(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="work")

    async def run(
        self, client: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function* in a thread, when it is the turn of *client*.

        Raises:
            Busy: it was not called.
        """
        async with self._turns.turn(client):
            return await self._called(partial(function, *args, **kwargs))

    async def parts(self, client: str, parts: Iterator[str]) -> AsyncIterator[str]:
        """Yield *parts*, each made in a thread, when it is the turn of *client*."""
        while True:
            async with self._turns.turn(client, begun=True):
                part = await self._called(partial(next, parts, None))
            if part is None:
                return
            yield part

    async def _called(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Let the threads end; what they do is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class RequestWork:
    """
    The work of one request.

    Args:
        work: of the process.
        client: whose turn it takes.
        size: bytes of its body.
    """

    def __init__(self, work: Work, client: str, size: int) -> None:
        self._work, self._client, self.size = work, client, size

    async def do(self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call *function*: at once if *size*, in bytes of JSON, is small; else in a thread.

        Raises:
            Busy: it was not called.
        """
        if size <= SMALL:
            return function(*args, **kwargs)
        return await self._work.run(self._client, function, *args, **kwargs)

    def parts(self, parts: Iterator[str]) -> AsyncIterator[str]:
        """Yield the *parts* of an answer that has begun, each made in a thread."""
        return self._work.parts(self._client, parts)


def work_of(scope: Scope) -> RequestWork:
    """Return the work of the request with this ASGI *scope*."""
    host, _ = scope.get("client") or ("", 0)
    return RequestWork(scope["app"].state.work, host, scope.get(BODY_SIZE, 0))
