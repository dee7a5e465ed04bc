"""The open streams of this process: counted, pinged, and ended if old or read too slowly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.connections.client_connection import ClientConnection
from api.metrics.streams.subscriber import Subscriber
from store.settings import Settings

AGE_SPREAD = 0.1
"""Maximum share of the age limit by which a stream ends earlier or later than the limit. The end is
random, so that clients of streams that began together do not all reconnect together."""


@dataclass(eq=False)
class OpenStream:
    """
    An open stream.

    Attributes:
        subscriber: the subscriber that gets the events.
        connection: the connection to the client; None under a server that does not use `Protocol`.
        ends_at: the time when the stream reaches its age limit, in seconds of the loop's clock.
        sent_at: the time when data was last sent, in seconds of the loop's clock.
        sending: whether a send is in progress.
        dropped: whether the client was disconnected because it did not read fast enough.
    """

    subscriber: Subscriber
    connection: ClientConnection | None
    ends_at: float
    sent_at: float
    sending: bool = False
    dropped: bool = False


@dataclass
class OpenStreams:
    """
    The open streams of this process.

    Attributes:
        settings: the settings, which contain the limits.
        dropped: number of clients disconnected because they did not read fast enough.
        refused: number of requests for a stream refused because too many streams were open.
    """

    settings: Settings
    dropped: int = 0
    refused: int = 0
    _open: set[OpenStream] = field(default_factory=set)

    @property
    def num_open(self) -> int:
        """Number of open streams."""
        return len(self._open)

    @property
    def full(self) -> bool:
        """Whether no more streams may be opened."""
        return len(self._open) >= self.settings.max_streams

    @contextmanager
    def opened(self, connection: ClientConnection | None) -> Iterator[OpenStream]:
        """Count a stream on *connection* as open for as long as the context lasts."""
        now = asyncio.get_running_loop().time()
        age_s = self.settings.stream_age_s * random.uniform(1 - AGE_SPREAD, 1 + AGE_SPREAD)
        stream = OpenStream(Subscriber(), connection, now + age_s, now)
        if connection is not None:
            connection.limit_buffers()
            connection.on_shutdown = stream.subscriber.close
            if connection.shutting_down:  # `on_shutdown` was set too late
                stream.subscriber.close()
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)
            if connection is not None:
                connection.on_shutdown = None

    async def run_forever(self) -> None:
        """Ping idle streams, end old ones and drop slow ones, until cancelled."""
        limits = self.settings
        period_s = min(1.0, limits.stream_ping_s / 4, limits.stream_stall_s / 4)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(period_s)
            now = loop.time()
            for stream in list(self._open):
                if stream.sending and now - stream.sent_at > limits.stream_stall_s:
                    self.drop(stream)
                elif now > stream.ends_at:
                    stream.subscriber.close()
                elif now - stream.sent_at > limits.stream_ping_s and not stream.sending:
                    stream.subscriber.ping()

    def drop(self, stream: OpenStream) -> None:
        """Disconnect a client that reads too slowly; it may resume by the id of its last event."""
        if stream.dropped:
            return
        stream.dropped = True
        self.dropped += 1
        stream.subscriber.close()
        if stream.connection is not None:
            stream.connection.abort()
