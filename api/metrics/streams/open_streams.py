"""The open streams of this process: how many, how long each may last, and who is cut off."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.connections.client_connection import Line
from api.http import problems
from api.metrics.streams.feed import TooSlow
from api.metrics.streams.subscriber import Watcher
from store.errors import JobError
from store.settings import Settings

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
"""Seconds after which a client may try again where too many watch."""
SPREAD = 0.1
"""Ages of connections differ by so much, so that not all clients come back at once."""

Parts = Callable[[Watcher], AsyncGenerator[bytes, None]]
"""Makes the events of a stream, for one who watches."""


@dataclass(eq=False)
class Stream:
    """
    An open stream.

    Attributes:
        watcher: its client.
        line: to the client; None where no server of ours is between.
        until: when it ends, in seconds of the loop's clock.
        sent_at: when something was last sent.
        sending: whether it is being sent yet.
        dropped: whether its client was cut off.
    """

    watcher: Watcher
    line: Line | None
    until: float
    sent_at: float
    sending: bool = False
    dropped: bool = False


@dataclass
class Streams:
    """
    The open streams of this process.

    Attributes:
        settings: how many there may be, and for how long.
        dropped: how many clients were cut off because they did not read, or not fast enough.
        refused: how many found that too many watch.
    """

    settings: Settings
    dropped: int = 0
    refused: int = 0
    _open: set[Stream] = field(default_factory=set)

    @property
    def num_open(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether no more may be opened."""
        return len(self._open) >= self.settings.max_streams

    @contextmanager
    def opened(self, line: Line | None) -> Iterator[Stream]:
        """Count a stream to *line* for as long as the context lasts."""
        now = asyncio.get_running_loop().time()
        age_s = self.settings.stream_age_s * random.uniform(1 - SPREAD, 1 + SPREAD)
        stream = Stream(Watcher(), line, now + age_s, now)
        if line is not None:
            line.watch()
            line.leave = stream.watcher.leave
            if line.stopping:
                stream.watcher.leave()
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)
            if line is not None:
                line.leave = None

    async def look_after_forever(self) -> None:
        """Ping, end and cut off streams until cancelled."""
        limits = self.settings
        period_s = min(1.0, limits.stream_ping_s / 4, limits.stream_stall_s / 4)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(period_s)
            now = loop.time()
            for stream in list(self._open):
                if stream.sending and now - stream.sent_at > limits.stream_stall_s:
                    self.drop(stream)
                elif now > stream.until:
                    stream.watcher.leave()
                elif now - stream.sent_at > limits.stream_ping_s and not stream.sending:
                    stream.watcher.ping()

    def drop(self, stream: Stream) -> None:
        """Cut off a client that does not read, or not fast enough: it may come back by id."""
        if stream.dropped:
            return
        stream.dropped = True
        self.dropped += 1
        stream.watcher.leave()
        if stream.line is not None:
            stream.line.cut()


class EventStream(Response):
    """
    The answer that is a stream of events.

    It sends what there is as soon as there is something, one write after another: while one has
    to wait because the client does not read, nothing is gathered for it.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, parts: Parts, status_code: int = 200) -> None:
        self._streams, self._parts = streams, parts
        self.status_code, self.background = status_code, None
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the last one, or until the client is gone or must go."""
        if self._streams.full:
            self._streams.refused += 1
            await _too_many(self._streams.settings.max_streams)(scope, receive, send)
            return
        with self._streams.opened(scope.get("state", {}).get("line")) as stream:
            gone = asyncio.create_task(_gone(receive, stream.watcher))
            try:
                start = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **start})
                await self._tell(stream, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                gone.cancel()

    async def _tell(self, stream: Stream, send: Send) -> None:
        loop = asyncio.get_running_loop()
        async with aclosing(self._parts(stream.watcher)) as parts:
            try:
                async for part in parts:
                    stream.sending, stream.sent_at = True, loop.time()
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    stream.sending, stream.sent_at = False, loop.time()
                    if stream.watcher.leaving:
                        return
            except TooSlow:
                self._streams.drop(stream)
            except JobError as error:
                log.warning("a stream ends: %s", error)  # who comes back by id is told why


async def _gone(receive: Receive, watcher: Watcher) -> None:
    """Let the stream end when its client hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    watcher.leave()


def _too_many(limit: int) -> Response:
    return problems.answer(
        status=503,
        title="Too many streams",
        detail=f"{limit} streams are open, which is what this process serves at a time; "
        "try again, or read /metrics and /events with a cursor",
        code="too_many_streams",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
