"""The TCP connection of a client: its buffers can be limited, and it can be aborted."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from starlette.types import Scope

UNSENT_BYTES = 16 * 1024
"""Maximum bytes that wait in this process, and also in the kernel, for a client that does not
read."""
SILENT_S = 20
"""Seconds after which the connection fails if data waits for the client and the client's machine
acknowledges nothing, or accepts no more."""
SCOPE_STATE = "client_connection"
"""Key of the connection in the ``state`` of an ASGI scope."""


class ClientConnection:
    """
    The TCP connection of a client.

    Attributes:
        on_shutdown: function to call when the service shuts down, set by an open stream; None if
            the connection has no open stream.
        shutting_down: whether the service is shutting down.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Also marks the connection of a stream: `Protocol.unsent` does not count the bytes of
        # streams, since `OpenStreams` limits those.
        self.on_shutdown: Callable[[], None] | None = None
        self.shutting_down = False

    def limit_buffers(self) -> None:
        """
        Limit how many bytes are buffered for a client that does not read, and how long they stay.

        By default the kernel buffers megabytes before a write has to wait. And a client machine
        that has lost its power or its network counts as connected for a quarter of an hour.

        After a call of this method, a write waits once `UNSENT_BYTES` are buffered. It fails once
        the client machine has acknowledged nothing for `SILENT_S` seconds.
        """
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES)
        found: socket.socket = self._transport.get_extra_info("socket")
        # A Unix socket refuses TCP options.
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # TCP_KEEPCNT is left out, since TCP_USER_TIMEOUT overrides it. Probes are needed besides
        # that timeout, which runs only while some data is unacknowledged. TCP_NOTSENT_LOWAT limits
        # only the data not sent yet and so, unlike SO_SNDBUF, does not limit the throughput.
        for name, value in (  # the last three exist on Linux only
            ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
            ("TCP_USER_TIMEOUT", 1000 * SILENT_S),
            ("TCP_KEEPIDLE", SILENT_S // 2),
            ("TCP_KEEPINTVL", SILENT_S // 4),
        ):
            if hasattr(socket, name):
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def abort(self) -> None:
        """Close the connection at once, and discard the data not sent yet."""
        # Not `close`, which first waits until the buffer is sent: if the client does not read, for
        # ever.
        self._transport.abort()


def connection_of(scope: Scope) -> ClientConnection | None:
    """Return the connection on which a request came; None if the server does not use `Protocol`."""
    connection: ClientConnection | None = scope.get("state", {}).get(SCOPE_STATE)
    return connection
