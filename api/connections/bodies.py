"""The bodies of all requests: how many bytes they have together, and which is cut beyond that."""

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
        peer: address of its client.
        cut: refuses the request.
        size: bytes that have come.
    """

    peer: str
    cut: Callable[[], None]
    size: int = 0


class Bodies:
    """
    The bodies that this process holds, each under its request.

    A body counts from its first byte until the answer to its request begins. Beyond the limit those
    are cut that are not whole, for one after the other that address which has most bytes of all,
    and its oldest first. Whole ones are worked on, or wait for their turn, which is not long
    (`api/http/thread_pool.py`). So a small body, which comes at once, is not cut, however many bytes
    there are.

    Args:
        most: bytes that they may have together.
    """

    def __init__(self, most: int) -> None:
        self.total = 0
        self._most = most
        self._all: dict[object, _Body] = {}
        self._of_peers: Counter[str] = Counter()
        self._unfinished: dict[str, dict[object, _Body]] = {}

    def add(self, request: object, size: int, *, peer: str, cut: Callable[[], None]) -> None:
        """Count *size* further bytes of the body of *request*."""
        body = self._all.get(request)
        if body is None:
            body = self._all[request] = _Body(peer, cut)
            self._unfinished.setdefault(peer, {})[request] = body
        self._count(body, size)

    def finish(self, request: object) -> None:
        """Know that the body of *request*, if it has one, is whole."""
        body = self._all.get(request)
        if body is not None and (of_peer := self._unfinished.get(body.peer)):
            of_peer.pop(request, None)
            if not of_peer:
                del self._unfinished[body.peer]

    def forget(self, request: object) -> None:
        """Count the body of *request* no longer."""
        self.finish(request)
        body = self._all.pop(request, None)
        if body is not None:
            self._count(body, -body.size)

    def bound(self) -> None:
        """Cut bodies while all have too many bytes."""
        while self.total > self._most and self._unfinished:
            heaviest = max(self._unfinished, key=self._of_peers.__getitem__)
            request, body = next(iter(self._unfinished[heaviest].items()))
            self.forget(request)
            body.cut()

    def _count(self, body: _Body, more: int) -> None:
        body.size += more
        self.total += more
        self._of_peers[body.peer] += more
        if not self._of_peers[body.peer]:
            del self._of_peers[body.peer]


def until_answered(app: ASGI3Application, forget: Callable[[], None]) -> ASGI3Application:
    """Return *app*, which calls *forget* when it begins to answer a request, or never will."""

    async def answering(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        async def sending(message: ASGISendEvent) -> None:
            forget()
            await send(message)

        try:
            await app(scope, receive, sending)
        finally:
            forget()

    return answering
