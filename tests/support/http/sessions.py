"""
Clients that lose their connections at random, and what they must have in the end.

Raw sockets, so that a connection breaks where the test wants it to: in the middle of an event, of a
number, of the answer's first line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from store.jobs.series import Row

AGAIN_S = 0.05
"""Seconds after which a service that does not answer is asked again."""


class Answer(Exception):
    """The service answered with an error; the text is what it said."""


def odd_rows(seed: str, count: int) -> list[Row]:
    """Return rows of random doubles, among them those that texts and texts only get wrong."""
    chosen = random.Random(seed)
    odd = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308, 0.1]

    def value() -> float:
        if chosen.random() < 0.1:
            return chosen.choice(odd)
        (found,) = struct.unpack("<d", chosen.randbytes(8))
        return 1.5 if math.isnan(found) else float(found)  # the payload of a NaN is no number

    return [(value(), value()) for _ in range(count)]


@dataclass
class Session:
    """
    One client: what it has of a job, over all its connections.

    Attributes:
        rows: step by step.
        last_id: what it sends to go on; empty for the beginning.
        over: whether it was told the end.
        connections: made so far.
        ends: how often it was told the end.
        digest: that it was told then.
    """

    address: str
    job_id: str
    chosen: random.Random
    polls: bool = True
    breaks: bool = True
    rows: list[list[Any]] = field(default_factory=list)
    last_id: str = ""
    over: bool = False
    connections: int = 0
    ends: int = 0
    digest: str = ""

    async def run(self) -> None:
        """Read the job from its first row to its end."""
        while not self.over:
            self.connections += 1
            try:
                if self.polls and self.chosen.random() < 0.25:
                    await self._poll()
                else:
                    await self._stream()
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(AGAIN_S)

    async def _poll(self) -> None:
        limit = self.chosen.choice([1, 7, 100])
        after = len(self.rows) - 1
        path = f"/v1/jobs/{self.job_id}/metrics?after={after}&limit={limit}"
        async with self._asked(path) as reader:
            body = await _body(reader)
        for row in json.loads(body)["data"]:
            self._take([row["step"], row["lr"], row["loss"]])
        self.last_id = str(len(self.rows) - 1) if self.rows else ""

    async def _stream(self) -> None:
        left = int(10 ** self.chosen.uniform(1.5, 5)) if self.breaks else 2**40
        path = f"/v1/jobs/{self.job_id}/metrics/stream"
        header = [f"Last-Event-ID: {self.last_id}"] if self.last_id else []
        async with self._asked(path, *header) as reader:
            chunks = Chunks()
            while left > 0 and not self.over:
                data = await reader.read(min(left, 4096))
                if not data:
                    return
                left -= len(data)
                for kind, event, event_id in chunks.feed(data):
                    self._told(kind, event, event_id)

    @contextlib.asynccontextmanager
    async def _asked(self, path: str, *header: str) -> Any:
        host, port = urlsplit(self.address).hostname, urlsplit(self.address).port
        reader, writer = await asyncio.open_connection(host, port)
        try:
            lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *header, "Connection: close"]
            writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
            status = await reader.readline()
            if b" 503 " in status:
                raise ConnectionError(status)
            if status and b" 200 " not in status:
                raise Answer(status + await reader.read())
            while (line := await reader.readline()) not in (b"\r\n", b""):
                del line
            yield reader
        finally:
            if self.chosen.random() < 0.5:
                writer.transport.abort()
            writer.close()

    def _told(self, kind: str, event: Any, event_id: str) -> None:
        if kind == "rows":
            for row in event["rows"]:
                self._take(row)
        elif kind == "truncated":
            assert event["step"] < len(self.rows)
            del self.rows[event["step"] :]
        elif kind == "end":
            self.over, self.digest = True, event["digest"]
            self.ends += 1
            assert event["rows"] == len(self.rows)
        if kind in ("rows", "truncated"):
            assert event_id.partition(".")[0] == str(len(self.rows) - 1)
            self.last_id = event_id
        else:
            assert event_id == ""

    def _take(self, row: list[Any]) -> None:
        assert row[0] == len(self.rows), f"step {row[0]} came after {len(self.rows) - 1}"
        self.rows.append(row)

    def packed(self) -> bytes:
        """Return the values that it was told, as the store keeps them."""
        return b"".join(struct.pack("<2d", *map(float, row[1:])) for row in self.rows)


class Chunks:
    """Events out of a chunked answer that comes in any pieces."""

    def __init__(self) -> None:
        self._raw, self._text = b"", b""

    def feed(self, data: bytes) -> Iterator[tuple[str, Any, str]]:
        """Yield the events that are whole with *data*: kind, data, id."""
        self._raw += data
        while True:
            size, found, rest = self._raw.partition(b"\r\n")
            if not found or len(rest) < int(size, 16) + 2:
                break
            self._text += rest[: int(size, 16)]
            self._raw = rest[int(size, 16) + 2 :]
        *whole, self._text = self._text.split(b"\n\n")
        for block in whole:
            fields = dict(line.split(": ", 1) for line in block.decode().splitlines())
            if "event" in fields:
                yield fields["event"], json.loads(fields["data"]), fields.get("id", "")


async def _body(reader: asyncio.StreamReader) -> bytes:
    """Return what is left of an answer with a length, or raise."""
    body = await reader.read()
    try:
        json.loads(body)
    except ValueError:
        raise asyncio.IncompleteReadError(body, None) from None
    return body
