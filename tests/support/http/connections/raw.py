"""Raw connections: bytes in, bytes out, from whatever address of this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
OTHER = "127.0.0.9"
"""Another address of this machine: another client."""
BUFFER = 16 * 1024
"""What a client's machine takes that does not read."""
WAIT_S = 30.0


class Served(Protocol):
    """What is reached at a URL: a stack, or an API process alone."""

    url: str


@dataclass
class Answer:
    """What a connection said before it ended, or the first answer of it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The body, which must be a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["connection"] == "close"
        assert int(self.headers["content-length"]) == len(self.body)
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        return found


@contextmanager
def connected(
    running: Served, *, source: str = "127.0.0.1", buffer: int | None = None
) -> Iterator[socket.socket]:
    """Hold a connection."""
    address = urlsplit(running.url)
    with socket.socket() as client:
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(WAIT_S)
        client.bind((source, 0))
        client.connect((address.hostname, address.port))
        yield client


def read_all(client: socket.socket) -> bytes:
    """Return what comes until the service closes the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while part := client.recv(2**16):
            found += part
    return found


def read_one(client: socket.socket) -> Answer:
    """Return one answer, of a connection that stays."""
    found = b""
    while True:
        found += client.recv(2**16)
        if b"\r\n\r\n" in found:
            answer, _ = parse(found)
            if len(answer.body) == int(answer.headers["content-length"]):
                return answer


def parse(raw: bytes) -> tuple[Answer, bytes]:
    """Return the first answer, and what follows it."""
    head, _, rest = raw.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = dict(each.lower().split(": ", 1) for each in lines)
    size = int(headers.get("content-length", len(rest)))
    return Answer(int(line.split()[1]), headers, rest[:size]), rest[size:]


def answers(raw: bytes) -> list[Answer]:
    """Return all answers of a connection."""
    found = []
    while raw:
        answer, raw = parse(raw)
        found.append(answer)
    return found


def told(running: Served, *parts: bytes, source: str = "127.0.0.1") -> Answer:
    """Send *parts*, as far as they are taken, and return the only answer."""
    with connected(running, source=source) as client:
        with suppress(ConnectionError):
            for part in parts:
                client.sendall(part)
        (answer,) = answers(read_all(client))
        return answer


def metric(running: Served, name: str, **labels: str) -> float:
    """Return what is counted now."""
    text = httpx.get(f"{running.url}/metrics", timeout=30).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return float(sample.value)
    raise AssertionError(f"{name} with {labels} is not there")


@contextmanager
def counted(running: Served, reason: str, count: int | None = None) -> Iterator[None]:
    """Check that the counter of connections closed for *reason* rises, by *count* if given."""
    before = metric(running, "optserve_connections_closed_total", reason=reason)
    yield
    more = metric(running, "optserve_connections_closed_total", reason=reason) - before
    assert more == count if count is not None else more > 0


@contextmanager
def held(running: Served, count: int, *, source: str) -> Iterator[list[socket.socket]]:
    """Hold connections that were answered once."""
    with ExitStack() as all_of_them:
        clients = [
            all_of_them.enter_context(connected(running, source=source)) for _ in range(count)
        ]
        for client in clients:
            client.sendall(GET + b"\r\n")
            assert read_one(client).status == 200
        yield clients
