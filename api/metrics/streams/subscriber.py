"""Subscribers to a job, and a waker that wakes only a few of them at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

# A thousand woken at once wrote for a tenth of a second, while all other requests waited.
WAKE_AT_ONCE = 32
"""Subscribers woken in one turn of the event loop."""


class Subscriber:
    """
    The client of a stream, which waits for events.

    Attributes:
        closing: whether the stream must end. The client may resume by the id of its last event.
        ping_due: whether the stream must send a ping.
    """

    def __init__(self) -> None:
        self.closing = False
        self.ping_due = False
        self._woken = False
        self._waiting: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End the present wait of the subscriber; if it does not wait now, end its next wait."""
        self._woken = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Ask the stream to end."""
        self.closing = True
        self.wake()

    def ping(self) -> None:
        """Ask the stream to send a ping."""
        self.ping_due = True
        self.wake()

    async def wait(self) -> None:
        """Return as soon as there may be something to send."""
        if not self._woken:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
            self._waiting = None
        self._woken = False


class Waker:
    """
    Wakes many subscribers, a few per turn of the event loop.

    Each subscriber writes to its socket as soon as it is woken. Waking thousands in one turn would
    delay every other request of this process until the last of them has written.
    """

    def __init__(self) -> None:
        self._asleep: deque[Subscriber] = deque()
        self._scheduled = False

    def wake(self, subscribers: Iterable[Subscriber]) -> None:
        """Wake *subscribers* soon, after those that already wait to be woken."""
        self._asleep.extend(subscribers)
        if not self._scheduled:
            self._wake_some()

    def _wake_some(self) -> None:
        for _ in range(min(WAKE_AT_ONCE, len(self._asleep))):
            self._asleep.popleft().wake()
        self._scheduled = bool(self._asleep)
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._wake_some)
