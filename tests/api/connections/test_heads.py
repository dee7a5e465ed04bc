"""Heads of requests: too long, too many headers, too late, or none at all."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from optserve.local.stack import Stack
from tests.support.http.connections.raw import GET, connected, counted, read_all, read_one, told
from tests.support.http.connections.short_limits import HEAD_S
from tests.support.machine.usage import rss

LIMIT = 32 * 1024
SOON_S = 3.0
"""How late a limit may be noticed on a busy machine."""


def head(size: int) -> bytes:
    """Return a request whose head has so many bytes, in one long header."""
    start, end = GET + b"Connection: close\r\nA: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


def test_a_head_of_exactly_the_limit_is_read(running: Stack) -> None:
    assert told(running, head(LIMIT)).status == 200


@pytest.mark.parametrize("piece", [LIMIT + 1, 1000])
def test_a_head_beyond_the_limit_is_a_431(running: Stack, piece: int) -> None:
    raw = head(LIMIT + 1)

    with counted(running, "head_too_large", 1):
        answer = told(running, *(raw[i : i + piece] for i in range(0, len(raw), piece)))

    assert answer.status == 431
    assert answer.problem["code"] == "request_head_too_large"
    assert answer.problem["detail"] == (
        "the request's first line and headers must have at most 32768 bytes together"
    )


def test_a_head_may_come_byte_by_byte(running: Stack) -> None:
    raw = GET + b"Connection: close\r\n\r\n"

    assert told(running, *(raw[i : i + 1] for i in range(len(raw)))).status == 200


def test_too_many_headers_are_a_431(running: Stack) -> None:
    lines = [b"A%d: b\r\n" % i for i in range(100)]

    few = told(running, GET, *lines[:98], b"Connection: close\r\n\r\n")
    many = told(running, GET, *lines, b"\r\n")

    assert (few.status, many.status) == (200, 431)
    assert many.problem["detail"] == "a request must have at most 100 headers"


def test_a_first_line_that_is_too_long_is_a_414(running: Stack) -> None:
    with counted(running, "line_too_long", 1):
        answer = told(running, b"GET /" + b"a" * 2 * LIMIT)

    assert answer.status == 414
    assert answer.problem["code"] == "request_line_too_long"


def lines(megabytes: int) -> Iterator[bytes]:
    """Yield a head that does not end."""
    yield GET
    for _ in range(megabytes):
        yield b"A: b\r\n" * (2**20 // 6)


def test_megabytes_of_header_lines_take_no_memory(running: Stack) -> None:
    api = running.processes()["api"]
    told(running, *lines(1))
    before = rss(api)

    answer = told(running, *lines(60))

    assert answer.status == 431
    assert rss(api) - before < 10e6


def test_a_silent_connection_is_closed(running: Stack) -> None:
    with counted(running, "silent", 1), connected(running) as client:
        start = time.monotonic()
        said = read_all(client)
        took_s = time.monotonic() - start

    assert said == b""
    assert HEAD_S - 0.5 < took_s < HEAD_S + SOON_S


@pytest.mark.parametrize("drop", [b"", b"A: b\r\n", b"\r\n"], ids=["nothing", "headers", "blanks"])
def test_an_incomplete_head_is_a_408(running: Stack, drop: bytes) -> None:
    """However it drips: a limit on silence alone would let it."""
    start = b"" if drop == b"\r\n" else GET
    with counted(running, "head_late", 1), connected(running) as client:
        client.sendall(start or drop)
        client.settimeout(0.1)
        began, said = time.monotonic(), b""
        while not said:
            assert time.monotonic() - began < HEAD_S + SOON_S
            try:
                said = client.recv(2**16)
            except TimeoutError:
                client.sendall(drop)
        took_s = time.monotonic() - began

    assert b" 408 Request Timeout\r\n" in said
    assert b'"code":"request_late"' in said
    assert took_s > HEAD_S - 0.5


def test_a_connection_is_reused_and_closed_when_idle(running: Stack) -> None:
    with counted(running, "idle", 1), connected(running) as client:
        for _ in range(3):
            client.sendall(GET + b"\r\n")
            assert read_one(client).status == 200
        client.sendall(b"\r\n")  # no request
        assert read_all(client) == b""


def test_a_slow_second_head_is_a_408_too(running: Stack) -> None:
    with counted(running, "head_late", 1), connected(running) as client:
        client.sendall(GET + b"\r\n")
        read_one(client)
        client.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert b" 408 " in read_all(client)


def test_other_clients_are_served_meanwhile(running: Stack) -> None:
    with connected(running) as dripping:
        dripping.sendall(GET)
        assert httpx.get(f"{running.url}/healthz").status_code == 200
