"""The line to a client: its TCP connection, as far as a stream must know it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

UNSENT_BYTES = 16 * 1024
"""What may wait in this process, and again in the kernel, for a client that does not read."""
SILENT_S = 20
"""Seconds for which a client's machine may leave what was sent unanswered, or take no more."""


class Line:
    """A client's TCP connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.leave: Callable[[], None] | None = None
        """What to call when the service stops."""
        self.stopping = False
        """Whether it does."""

    def watch(self) -> None:
        """
        Notice soon that nobody is at the other end, or that nobody reads there.

        Little waits in the kernel's buffer, which otherwise holds megabytes before a write has to
        wait; and a machine that answers nothing any more (it lost its power, or its network) counts
        as gone in seconds instead of a quarter of an hour.
        """
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES)
        found: socket.socket = self._transport.get_extra_info("socket")
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (  # the last three are Linux's
            ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
            ("TCP_USER_TIMEOUT", 1000 * SILENT_S),
            ("TCP_KEEPIDLE", SILENT_S // 2),
            ("TCP_KEEPINTVL", SILENT_S // 4),
        ):
            if hasattr(socket, name):
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def cut(self) -> None:
        """Close the connection and throw away what was not sent: nobody reads it."""
        self._transport.abort()
