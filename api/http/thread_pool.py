"""
A thread pool for requests with much to compute, shared fairly between clients.

Parsing, checking and planning a large body takes up to a second. On the event loop it would delay
every other request; in starlette's thread pool a few clients could occupy all threads. So these
requests have a small pool of their own, in which clients take turns: a request waits behind earlier
ones of its client, and behind one of every other client, however many those have sent.
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
"""More would compute no faster, since the interpreter runs one at a time, and delay the loop."""
MAX_WAITING = 256
"""Requests that may wait, of all clients together."""
MAX_WAITING_PER_CLIENT = 32
TIMEOUT_S = 20.0
"""How long a request waits for a thread."""
BODY, BODY_SIZE = "optserve.body", "optserve.body_size"
"""Keys of an ASGI scope: the parsed body of the request, and its size in bytes."""
SMALL = 2048
"""Bytes of JSON that are processed on the event loop: faster than waking a thread."""
VALUES_PER_BYTE = 10
"""Values of a schedule computed in the time that one byte of a spec takes to parse. It makes the
cost of both comparable, in bytes."""


class FairSemaphore:
    """
    A semaphore whose waiters are served round-robin by client, and in order within a client.

    Args:
        num: number of holders at a time.
        max_waiting: number of waiters.
        max_waiting_per_client: number of waiters of one client.
        timeout_s: how long they wait.
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
        # The order of the clients is the order of their turns: the next one is the first.
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
            client: whose turn is used.
            must: wait without limits. For a response that has begun: it is too late for an error.

        Raises:
            Busy: too many wait, or the wait timed out.
        """
        # Only while nobody waits is this above 0, since `_release` passes turns on directly: a
        # newcomer never overtakes.
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
                self._release()  # granted just as the wait ended: the next one has it
            elif turn in queue:
                queue.remove(turn)
            if isinstance(error, TimeoutError):
                raise Busy(self.num_waiting) from None
            raise

    def _release(self) -> None:
        """Pass the turn to the client that has had none for longest."""
        for client, queue in list(self._queues.items()):
            del self._queues[client]
            while queue:  # cancelled waiters are skipped
                turn = queue.popleft()
                if not turn.done():
                    if queue:
                        self._queues[client] = queue  # behind all other clients
                    turn.set_result(None)
                    return
        self._free += 1


class FairThreadPool:
    """The threads of this process for large requests."""

    def __init__(self) -> None:
        self._semaphore = FairSemaphore(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="requests")

    async def run(
        self, client: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function* in a thread, when it is the turn of *client*.

        Raises:
            Busy: it was not called.
        """
        async with self._semaphore.acquired(client):
            # If the request is cancelled, its turn ends before its thread does. The executor has no
            # more threads than there are turns, so the next call then waits for one of them.
            return await self._call(partial(function, *args, **kwargs))

    async def iterate(self, client: str, parts: Iterator[str]) -> AsyncIterator[str]:
        """Yield *parts*, each computed in a thread, when it is the turn of *client*."""
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
        """End the threads without waiting for what they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class RequestThreads:
    """
    The thread pool, for one request.

    Args:
        pool: of this process.
        client: whose turns the request uses.
        size: size of its body, in bytes.
    """

    def __init__(self, pool: FairThreadPool, client: str, size: int) -> None:
        self._pool, self._client, self.size = pool, client, size

    async def run(
        self, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function* in a thread; directly if *size* is small.

        Args:
            size: what it has to process, in bytes of JSON.
            function: what is called.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Raises:
            Busy: it was not called.
        """
        if size <= SMALL:
            return function(*args, **kwargs)
        return await self._pool.run(self._client, function, *args, **kwargs)

    def iterate(self, parts: Iterator[str]) -> AsyncIterator[str]:
        """Yield the *parts* of a response that has begun, each computed in a thread."""
        return self._pool.iterate(self._client, parts)


def threads_of(scope: Scope) -> RequestThreads:
    """Return the thread pool for the request with this ASGI *scope*."""
    host, _ = scope.get("client") or ("", 0)
    # As connections are counted: an IPv6 client has a network of addresses, and would have as many
    # turns.
    peer = peer_of(host)
    return RequestThreads(scope["app"].state.thread_pool, peer, scope.get(BODY_SIZE, 0))
