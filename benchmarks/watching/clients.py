"""Clients that follow streams, and measure the events that they receive."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.harness import percentile

LOOK_S = 0.05


class Client(asyncio.Protocol):
    """
    A client that records how late each event is, and checks that no step is missing.

    Attributes:
        steps: the number of steps received during the measurement.
    """

    lags: list[float] = []  # noqa: RUF012  # of all
    counts = {"events": 0, "bytes": 0}  # noqa: RUF012  # of all
    counting = False

    def __init__(self, path: str) -> None:
        self._path, self._text, self._next = path, b"", -1
        self.steps = 0

    @property
    def joined(self) -> bool:
        """Whether the client has received steps."""
        return self._next >= 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request for the stream."""
        line = cast("asyncio.Transport", transport)
        line.write(f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Process the events that are complete."""
        self._text += data
        while (found := self._text.find(b"\n\n")) >= 0:
            event, self._text = self._text[:found], self._text[found + 2 :]
            if b"event: rows" in event:
                self._rows(event)

    def _rows(self, event: bytes) -> None:
        at = event.index(b'"rows":[[') + 9
        first, _, of_first = event[at : event.index(b"]", at)].split(b",")
        last = int(event[event.rindex(b"id: ") + 4 :])
        assert self._next in (-1, int(first)), f"{self._next} is missing"
        self._next = last + 1
        if Client.counting:
            Client.lags.append(time.time() - float(of_first))
            Client.counts["events"] += 1
            self.steps += last + 1 - int(first)
            Client.counts["bytes"] += len(event)

    def connection_lost(self, error: Exception | None) -> None:
        """Abort this process if a connection is lost during the measurement."""
        if Client.counting:
            os.abort()


async def watch(url: str, watchers: int, paths: Sequence[str]) -> None:
    """Follow the streams; measure between the lines ``begin`` and ``stop`` on standard input."""
    loop = asyncio.get_running_loop()
    host, port = str(urlsplit(url).hostname), int(urlsplit(url).port or 80)
    clients = [Client(paths[i % len(paths)]) for i in range(watchers)]
    start = time.monotonic()
    for client in clients:
        await loop.create_connection(partial(_itself, client), host, port)
    while not all(client.joined for client in clients):
        await asyncio.sleep(LOOK_S)
    print(time.monotonic() - start, flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    Client.counting, start = True, time.monotonic()
    await loop.run_in_executor(None, sys.stdin.readline)
    Client.counting = False
    print(json.dumps(told(clients, time.monotonic() - start)), flush=True)


def _itself(client: Client) -> Client:
    return client


def told(clients: Sequence[Client], seconds: float) -> dict[str, Any]:
    """Return statistics of what *clients* received in *seconds* seconds."""
    steps = [client.steps for client in clients]
    return {
        **Client.counts,
        "steps": sum(steps),
        "fewest": min(steps),
        "lag p50": percentile(Client.lags, 50),
        "lag p99": percentile(Client.lags, 99),
        "seconds": seconds,
    }


if __name__ == "__main__":
    uvloop.run(watch(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
