"""Limits the total size of the request bodies that are held in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)


@dataclass
class _Body:
    """
    The body of a request.

    Attributes:
        peer: address of the client that sends the body.
        refuse: function that refuses the request.
        size: number of bytes received so far.
    """

    peer: str
    refuse: Callable[[], None]
    size: int = 0


class Bodies:
    """
    The request bodies that this process holds.

    A body is counted from the arrival of its first byte until the response begins.

    While the total size exceeds the limit, requests with incomplete bodies are refused one by one:
    each time the oldest such request from the address whose bodies have the largest total size.

    A request with a complete body is never refused. Such a request is being processed, or it waits
    a short time for a thread (`api/http/thread_pool.py`). A small body is complete at once, since
    it arrives in one piece.

    Args:
        max_bytes: maximum total size of all bodies, in bytes.

    Attributes:
        total: present total size of all bodies, in bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        self.total = 0
        # A limit per body does not bound their sum: 200 connections with 1 MB each took a process
        # from 163 to 377 MB for up to 276 s, and docker-compose.yml gives it 512 MB.
        self._max_bytes = max_bytes
        self._all: dict[object, _Body] = {}
        self._of_peers: Counter[str] = Counter()
        # By address, each in order of arrival: dicts keep the order of insertion.
        self._unfinished: dict[str, dict[object, _Body]] = {}

    def add(self, request: object, size: int, *, peer: str, refuse: Callable[[], None]) -> None:
        """
        Count *size* more bytes of the body of *request*.

        Args:
            request: any object that identifies the request.
            size: number of bytes.
            peer: address of the client.
            refuse: function that `enforce` calls to refuse the request.
        """
        body = self._all.get(request)
        if body is None:
            body = self._all[request] = _Body(peer, refuse)
            self._unfinished.setdefault(peer, {})[request] = body
        self._count(body, size)

    def finish(self, request: object) -> None:
        """Record that the body of *request* is complete; do nothing if the request has no body."""
        body = self._all.get(request)
        if body is not None and (of_peer := self._unfinished.get(body.peer)):
            of_peer.pop(request, None)
            if not of_peer:
                del self._unfinished[body.peer]

    def forget(self, request: object) -> None:
        """Stop counting the body of *request*."""
        self.finish(request)
        body = self._all.pop(request, None)
        if body is not None:
            self._count(body, -body.size)

    def enforce(self) -> None:
        """Refuse requests with incomplete bodies while the size of all bodies exceeds the limit."""
        while self.total > self._max_bytes and self._unfinished:
            # The bytes of an address include those of its complete bodies: a client whose bodies
            # keep the threads busy is refused first.
            heaviest = max(self._unfinished, key=self._of_peers.__getitem__)
            request, body = next(iter(self._unfinished[heaviest].items()))
            # Before `refuse`, so that each round of the loop reduces the total, whatever `refuse`
            # does.
            self.forget(request)
            body.refuse()

    def _count(self, body: _Body, more: int) -> None:
        body.size += more
        self.total += more
        self._of_peers[body.peer] += more
        # Otherwise the counter would grow with every address ever seen.
        if not self._of_peers[body.peer]:
            del self._of_peers[body.peer]


def until_answered(app: ASGI3Application, forget: Callable[[], None]) -> ASGI3Application:
    """Return *app*, wrapped to call *forget* when the response begins, and when *app* returns."""

    # Called in both cases: an application that raises an error before it sends anything would
    # otherwise leave the body counted for good.
    async def answering(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def sending(message: ASGISendEvent) -> None:
            forget()
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            forget()

    return answering
