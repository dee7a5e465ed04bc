"""The address on which the service listens: an address of this machine, and a free port."""

from __future__ import annotations

import errno
import socket

HOST = "127.0.0.1"
"""Default address of the API: reachable from this machine only."""
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CannotListen(Exception):
    """The service cannot listen on the address; the message says why and what to do."""


def listening_port(host: str, port: int) -> int:
    """Return *port* after checking that it can be bound on *host*; for 0, return a free port."""
    if not host:
        raise _not_an_address(host, "it is empty")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise _not_an_address(host, getattr(error, "strerror", None) or str(error)) from None
    # Checked, not reserved: another process may take the port before the API binds it. The API then
    # fails, and its log says so.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the API does: a port in TIME_WAIT, from a stack that just stopped, counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise _refused(host, port, error) from None
        return int(probe.getsockname()[1])


def url_at(host: str, port: int) -> str:
    """Return the URL at which this machine reaches a server that listens on *host* and *port*."""
    reached = WILDCARDS.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _refused(host: str, port: int, error: OSError) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            f"port {port} of {host} is in use. "
            "Choose another one with --port, or 0 for any free one"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return CannotListen(
            f"port {port} of {host} is reserved for root. Choose one above 1023 with --port, "
            "or 0 for any free one"
        )
    return _not_an_address(host, error.strerror or str(error))


def _not_an_address(host: str, reason: str) -> CannotListen:
    return CannotListen(
        f"--host (OPTSERVE_HOST) must be an address of this machine, got {host!r}: {reason}"
    )
