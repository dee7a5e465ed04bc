"""
A thread pool for requests that need much computation, shared fairly between clients.

Parsing, checking and planning a large body takes up to a second. If the event loop did this work,
it would delay every other request. If starlette's thread pool did, a few clients could occupy all
of its threads. So requests with large bodies have a small pool of their own.

Clients take turns in this pool. Until a waiting client gets its next turn, every other client gets
at most one turn, however many requests it has sent.
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

from api.connections.connections import peer_of
from store.errors import Busy

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 2
"""Size of the pool. More threads would compute no faster, since the interpreter runs one at a time,
and would delay the event loop."""
MAX_WAITING = 256
"""Maximum number of waiting requests from all clients together."""
MAX_WAITING_PER_CLIENT = 32
"""Maximum number of waiting requests from one client."""
TIMEOUT_S = 20.0
"""Seconds that a request waits for a thread; after that it gets 503."""
BODY, BODY_SIZE = "optserve.body", "optserve.body_size"
"""Keys in an ASGI scope: for the parsed request body, and for the size of the body in bytes."""
SMALL = 2048
"""Up to this many bytes of JSON are processed on the event loop: that is faster than waking a
thread."""
VALUES_PER_BYTE = 10
"""Number of schedule values that can be computed in the time that parsing one byte of a spec takes.
With it, the cost of computing values is expressed in bytes, like the cost of parsing."""


class FairSemaphore:
    """
    A semaphore that serves clients in turns, and the waiters of one client in order of arrival.

    Args:
        num: maximum number of holders at a time.
        max_waiting: maximum number of waiters.
        max_waiting_per_client: maximum number of waiters for one client.
        timeout_s: maximum number of seconds that a waiter waits; then `acquired` raises `Busy`.
    """

    def __init__(
        self,
        num: int,
        *,
        max_waiting: int = MAX_WAITING,
        max_waiting_per_client: int = MAX_WAITING_PER_CLIENT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._free, self._timeout_s = num, timeout_s
        self._max_waiting, self._max_per_client = max_waiting, max_waiting_per_client
        # The clients are in the order of their turns: the first client has the next turn.
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def num_waiting(self) -> int:
        """Number of waiters."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def acquired(self, client: str, *, must: bool = False) -> AsyncIterator[None]:
        """
        Wait for the semaphore, and hold it for as long as the context lasts.

        Args:
            client: the client that takes a turn.
            must: whether to wait without a time limit, and even if there are too many waiters. True
                for a response that has begun, which can no longer become an error.

        Raises:
            Busy: *must* is false, and there are too many waiters or the wait timed out.
        """
        # This is above 0 only while nobody waits, since `_release` passes a turn directly to a
        # waiter: a newcomer never overtakes.
        if self._free:
            self._free -= 1
        else:
            await self._wait(client, must=must)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, client: str, *, must: bool) -> None:
        queue = self._queues.setdefault(client, deque())
        full = len(queue) >= self._max_per_client or self.num_waiting >= self._max_waiting
        # A queue that is left empty here, or by a wait that ends, is removed by the next
        # `_release`.
        if full and not must:
            raise Busy(self.num_waiting)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(None if must else self._timeout_s):
                await turn
        except (TimeoutError, asyncio.CancelledError) as error:
            if turn.done() and not turn.cancelled():
                self._release()  # granted just as the wait ended: pass it on
            elif turn in queue:
                queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise Busy(self.num_waiting) from None
            raise

    def _release(self) -> None:
        """Pass the turn to the waiting client whose last turn was longest ago."""
        for client, queue in list(self._queues.items()):
            del self._queues[client]
            while queue:  # cancelled waiters are skipped
                turn = queue.popleft()
                if not turn.done():
                    if queue:
                        self._queues[client] = queue  # after all other clients
                    turn.set_result(None)
                    return
        self._free += 1


class FairThreadPool:
    """The threads in which this process works on large requests."""

    def __init__(self) -> None:
        self._semaphore = FairSemaphore(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="requests")

    async def run(
        self, client: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function* in a thread when it is the turn of *client*, and return its result.

        Raises:
            Busy: *function* was not called, since too many requests wait or the wait timed out.
        """
        async with self._semaphore.acquired(client):
            # If the request is cancelled, its turn ends before its call does. The executor has no
            # more threads than there are turns, so the next call then waits for a free thread.
            return await self._call(partial(function, *args, **kwargs))

    async def iterate(self, client: str, parts: Iterator[str]) -> AsyncIterator[str]:
        """Yield *parts*, each computed in a thread when it is the turn of *client*."""
        while True:
            # A turn for each part, not for the response: a slow reader must not hold a thread.
            async with self._semaphore.acquired(client, must=True):
                # With a default, since a Future cannot hold a StopIteration.
                part = await self._call(partial(next, parts, None))
            if part is None:
                return
            yield part

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Shut the threads down without waiting for the calls in them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class RequestThreads:
    """
    Gives one request access to the thread pool.

    Args:
        pool: the thread pool of this process.
        client: address of the client that sent the request; the request takes this client's turns.
        size: size of the request body, in bytes.
    """

    def __init__(self, pool: FairThreadPool, client: str, size: int) -> None:
        self._pool, self._client, self.size = pool, client, size

    async def run(
        self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function* in a thread, or directly if *size* is small; return its result.

        Args:
            size: the amount of work, in bytes of JSON to process.
            function: the function to call.
            args: positional arguments for *function*.
            kwargs: keyword arguments for *function*.

        Raises:
            Busy: *function* was not called, since too many requests wait or the wait timed out.
        """
        if size <= SMALL:
            return function(*args, **kwargs)
        return await self._pool.run(self._client, function, *args, **kwargs)

    def iterate(self, parts: Iterator[str]) -> AsyncIterator[str]:
        """Yield the *parts* of a response that has begun, each computed in a thread."""
        return self._pool.iterate(self._client, parts)


def threads_of(scope: Scope) -> RequestThreads:
    """Return the `RequestThreads` for the request with the ASGI *scope*."""
    host, _ = scope.get("client") or ("", 0)
    # As connections are counted: an IPv6 client has a network of addresses, and would have as many
    # turns.
    peer = peer_of(host)
    return RequestThreads(scope["app"].state.thread_pool, peer, scope.get(BODY_SIZE, 0))
