"""Clients that read the beginning of a response, and then nothing more."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import httpx

from optserve.local.stack import Stack

BUFFER = 16 * 1024
"""What a dead client's machine takes before it says that it is full. Nobody can tell before."""


def metric(running: Stack, name: str) -> float:
    """Return the value of a metric without labels."""
    text = httpx.get(f"{running.url}/metrics").text
    (found,) = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(found.split()[1])


@contextmanager
def dead(
    running: Stack, job_ids: list[str], count: int, *, after: int, path: str = ""
) -> Iterator[None]:
    """Hold connections that request a stream (or *path*), read *after* bytes of it and no more."""
    address = urlsplit(running.url)
    with ExitStack() as held:
        for i in range(count):
            client = held.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            client.connect((address.hostname, address.port))
            target = path or f"/v1/jobs/{job_ids[i % len(job_ids)]}/metrics/stream"
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            left = after
            while left > 0:
                left -= len(client.recv(left))
        yield
