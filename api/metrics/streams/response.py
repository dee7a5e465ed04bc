"""The response that sends a stream of events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.connections.client_connection import connection_of
from api.http import problems
from api.metrics.streams.feed import SubscriberTooSlow
from api.metrics.streams.open_streams import OpenStream, OpenStreams
from api.metrics.streams.subscriber import Subscriber
from store.errors import JobError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5
"""Retry-After in the response to a request beyond the limit on streams, in seconds."""

Events = Callable[[Subscriber], AsyncGenerator[bytes, None]]
"""Function that yields the encoded events of a stream, one or several at a time."""


class EventStream(Response):
    """
    A response that streams server-sent events.

    Events are not queued for a client that does not read. The next events are taken from the feed
    only after the previous write has finished. So a slow client costs the memory of one write. A
    client is too slow if the feed no longer retains its next event.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: OpenStreams, events: Events, status_code: int = 200) -> None:
        # Without Response.__init__, which would set the Content-Length of an empty body.
        self._streams, self._events = streams, events
        self.status_code, self.background = status_code, None
        # X-Accel-Buffering: nginx would otherwise hold events back until a buffer is full.
        self.init_headers({"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the last one is sent or the connection ends."""
        if self._streams.full:
            self._streams.refused += 1
            await _too_many(self._streams.settings.max_streams)(scope, receive, send)
            return
        with self._streams.opened(connection_of(scope)) as stream:
            # A stream may send nothing for minutes, and would not notice a disconnect otherwise.
            disconnected = asyncio.create_task(_close_when_gone(receive, stream.subscriber))
            try:
                start = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **start})
                await self._send_events(stream, send)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                disconnected.cancel()

    async def _send_events(self, stream: OpenStream, send: Send) -> None:
        loop = asyncio.get_running_loop()
        async with aclosing(self._events(stream.subscriber)) as events:
            try:
                async for data in events:
                    stream.sending, stream.sent_at = True, loop.time()
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                    stream.sending, stream.sent_at = False, loop.time()
                    if stream.subscriber.closing:
                        return
            except SubscriberTooSlow:
                self._streams.drop(stream)
            except JobError as error:
                # The status is sent already. A client that resumes by id gets an error response.
                log.warning("a stream ends with an error: %s", error)


async def _close_when_gone(receive: Receive, subscriber: Subscriber) -> None:
    """End the stream when its client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
    subscriber.close()


def _too_many(limit: int) -> Response:
    return problems.answer(
        status=503,
        title="Too many streams",
        detail=f"{limit} streams are open, which is the limit of this process; "
        "try again, or poll /metrics and /events with a cursor",
        code="too_many_streams",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )
