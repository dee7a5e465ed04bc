"""The hub: the poller, the open streams and the store connections that all streams share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import redis.asyncio

from api.metrics.streams.open_streams import OpenStreams
from api.metrics.streams.poller import Poller
from api.metrics.streams.response import EventStream
from api.metrics.streams.subscriber import Subscriber
from store.jobs.calls import Monitored
from store.jobs.views import Store
from store.redis.connect import connect_async
from store.redis.unreachable import UNREACHABLE
from store.settings import Settings

CONNECTIONS = 8
"""Maximum number of connections to the store; all streams that catch up share these."""
TIMEOUT_S = 5.0
"""Seconds that a stream waits for a connection to the store, and for the reply of the store."""

Follow = Callable[[Poller, Store, Subscriber], AsyncGenerator[bytes, None]]
"""Function that yields the encoded events of one stream: see `api.metrics.streams.subscription`."""


class StreamHub:
    """
    Makes the event streams of this process.

    Attributes:
        poller: the poller that all streams share.
        streams: the streams that are open now.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self.poller, self.streams = Poller(store), OpenStreams(settings)

    def stream(self, follow: Follow) -> EventStream:
        """Return a response that streams the events that the function *follow* yields."""
        return EventStream(
            self.streams, lambda subscriber: follow(self.poller, self._store, subscriber)
        )

    async def monitored(self) -> Monitored | None:
        """Return the figures about the whole service; None if the store cannot be reached."""
        try:
            return await self._store.monitored()
        except UNREACHABLE:
            return None

    async def run_forever(self) -> None:
        """
        Poll the jobs of all streams, until cancelled.

        Streams are also pinged, ended and dropped as needed; see `OpenStreams.run_forever`.
        """
        # If either task fails, so does this one, and the service stops (`_stop_if_failed` in
        # api/app.py): otherwise streams would stay open and silent.
        async with asyncio.TaskGroup() as both:
            both.create_task(self.poller.poll_forever())
            both.create_task(self.streams.run_forever())


def connect(url: str) -> redis.asyncio.Redis:
    """
    Return the store client for streams; it has few connections and does not retry commands.

    A stream that cannot reach the store retries by itself, and keeps sending pings meanwhile.
    """
    return connect_async(url, max_connections=CONNECTIONS, timeout_s=TIMEOUT_S)
