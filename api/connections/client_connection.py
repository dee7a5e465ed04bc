"""The TCP connection of a client, as far as a response needs to know it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from starlette.types import Scope

UNSENT_BYTES = 16 * 1024
"""What may wait in this process, and again in the kernel, for a client that does not read."""
SILENT_S = 20
"""How long a client's machine may leave what was sent unacknowledged, or accept no more of it."""
SCOPE_STATE = "client_connection"
"""Name of the connection in the ``state`` of an ASGI scope."""


class ClientConnection:
    """
    The TCP connection of a client.

    Attributes:
        on_shutdown: called when the service shuts down; set by an open stream.
        shutting_down: whether the service shuts down.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Also marks the connection of a stream, whose unsent bytes `Protocol.unsent` leaves to
        # `OpenStreams`.
        self.on_shutdown: Callable[[], None] | None = None
        self.shutting_down = False

    def limit_buffers(self) -> None:
        """
        Let writes wait soon if the client does not read, and fail soon if its machine is gone.

        By default the kernel buffers megabytes before a write has to wait, and a machine that
        stopped acknowledging (it lost power, or its network) counts as connected for a quarter of
        an hour. With these options it takes kilobytes and seconds.
        """
        self._transport.set_write_buffer_limits(high=UNSENT_BYTES)
        found: socket.socket = self._transport.get_extra_info("socket")
        # A Unix socket refuses options of TCP.
        if found.family not in (socket.AF_INET, socket.AF_INET6):
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # TCP_KEEPCNT is left out, since TCP_USER_TIMEOUT overrides it. Probes are needed besides
        # that timeout, which runs only while something is unacknowledged. TCP_NOTSENT_LOWAT limits
        # what was not sent yet and so, unlike SO_SNDBUF, not the throughput.
        for name, value in (  # the last three exist on Linux only
            ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),
            ("TCP_USER_TIMEOUT", 1000 * SILENT_S),
            ("TCP_KEEPIDLE", SILENT_S // 2),
            ("TCP_KEEPINTVL", SILENT_S // 4),
        ):
            if hasattr(socket, name):
                found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def abort(self) -> None:
        """Close the connection and discard what was not sent."""
        # Not `close`, which first waits until the buffer is sent: never, if the client does not
        # read.
        self._transport.abort()


def connection_of(scope: Scope) -> ClientConnection | None:
    """Return the connection of a request; None under a server that is not ours."""
    connection: ClientConnection | None = scope.get("state", {}).get(SCOPE_STATE)
    return connection
