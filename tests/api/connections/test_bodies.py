"""Bodies of requests: too slow, endless, or hidden in what frames them."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest

from optserve.local.stack import Stack
from tests.support.http.bodies import CHUNKED, POST, SPEC_TEXT, length
from tests.support.http.connections.raw import answers, connected, counted, read_all, read_one, told
from tests.support.http.connections.short_limits import BODY_S, PACE
from tests.support.machine.usage import rss

SOON_S = 3.0


@pytest.mark.parametrize("drop", [b"", b" "], ids=["silent", "drips"])
def test_a_body_that_does_not_arrive_is_a_408(running: Stack, drop: bytes) -> None:
    with counted(running, "body_late", 1), connected(running) as client:
        client.sendall(length(100_000) + b"{")
        client.settimeout(0.1)
        began, said = time.monotonic(), b""
        while not said:
            assert time.monotonic() - began < BODY_S + SOON_S
            try:
                said = client.recv(2**16)
            except TimeoutError:
                client.sendall(drop)
        took_s = time.monotonic() - began
        (answer,) = answers(said)

    assert answer.status == 408
    assert answer.problem["detail"] == (
        f"the request's body must arrive within {BODY_S:g} s, plus one second for every "
        f"{PACE:g} bytes"
    )
    assert took_s > BODY_S - 0.5


def test_a_slow_body_within_the_minimum_rate_is_read(running: Stack) -> None:
    """It takes twice as long as a small one may."""
    text = SPEC_TEXT + b" " * (2000 - len(SPEC_TEXT))
    with connected(running) as client:
        client.sendall(POST + b"Connection: close\r\nContent-Length: 2000\r\n\r\n")
        began = time.monotonic()
        for i in range(0, 2000, 100):
            client.sendall(text[i : i + 100])
            time.sleep(2 * BODY_S / 20)  # what is slow is the client
        took_s = time.monotonic() - began
        (answer,) = answers(read_all(client))

    assert took_s > 2 * BODY_S
    assert (answer.status, json.loads(answer.body)["total_steps"]) == (200, 10)


def test_a_client_that_sends_on_after_the_response_is_disconnected(running: Stack) -> None:
    began = time.monotonic()
    with counted(running, "body_late", 1), connected(running) as client:
        client.sendall(length(2**40))
        with suppress(ConnectionError):
            while time.monotonic() - began < 20:
                client.sendall(bytes(2**16))
        took_s = time.monotonic() - began

    assert took_s < 10


def test_a_body_too_large_is_a_413_before_it_is_complete(running: Stack) -> None:
    with connected(running) as client:
        client.sendall(length(2**22) + b" " * 2**21)
        answer = read_one(client)

    assert answer.status == 413
    assert json.loads(answer.body)["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("start", "part"),
    [
        (b"2\r\n{}\r\n0\r\n", b"A: b\r\n" * 10_000),
        (b"2\r\n{}\r\n0\r\nA: ", b"b" * 60_000),
        (b"2;a=", b"b" * 60_000),
        (b"", b"0" * 60_000),
    ],
    ids=["trailers", "trailer", "extension", "zeros"],
)
def test_chunk_extensions_and_trailers_take_no_memory(
    running: Stack, start: bytes, part: bytes
) -> None:
    api = running.processes()["api"]
    told(running, CHUNKED + start, part)
    before = rss(api)

    answer = told(running, CHUNKED + start, *[part] * 1000)

    assert answer.status in (400, 431)
    assert answer.problem["code"] in ("malformed_request", "request_head_too_large")
    assert rss(api) - before < 10e6


def test_a_body_in_many_small_chunks_is_read(running: Stack) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in SPEC_TEXT + b" " * 20_000)
    answer = told(
        running, CHUNKED.replace(b"Host", b"Connection: close\r\nHost"), chunks, b"0\r\n\r\n"
    )

    assert answer.status == 200
