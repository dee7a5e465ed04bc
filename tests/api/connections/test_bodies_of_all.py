"""The limit of all request bodies together: incomplete ones are refused, all are counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from socket import SHUT_WR, socket
from typing import Any

import pytest

from api.connections.bodies import Bodies, until_answered
from optserve.local.stack import Stack
from tests.support.http.bodies import CHUNKED, POST, SPEC_TEXT, length
from tests.support.http.connections.raw import (
    OTHER,
    answers,
    connected,
    counted,
    metric,
    read_all,
    read_one,
    told,
)
from tests.support.machine.processes import eventually
from tests.support.machine.usage import rss
from tests.support.service.stacks import stack_with

MOST = 4 * 2**20
"""Bytes that bodies may have together here."""
LARGE, BROUGHT = 1_000_000, 900_000
"""Bytes of a body, and how many of them come: four such bodies may wait."""
FIT = MOST // BROUGHT
SMALL = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(SPEC_TEXT) + SPEC_TEXT
UPLOAD = SPEC_TEXT + b" " * (LARGE - len(SPEC_TEXT))
"""A body that is large and right."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack without workers, which has all the time that a test takes."""
    limits = {"OPTSERVE_MAX_TOTAL_BODY_BYTES": str(MOST), "OPTSERVE_BODY_TIMEOUT_S": "600"}
    with stack_with(tmp_path_factory.mktemp("bodies"), workers=0, **limits) as started:
        told(started, SMALL)  # what the first request imports and keeps is there
        yield started


def held(served: Stack) -> float:
    return metric(served, "optserve_body_bytes")


@contextmanager
def begun(served: Stack, count: int, *, source: str = "127.0.0.1") -> Iterator[list[socket]]:
    """Hold connections whose bodies are not whole, and which came one after the other."""
    with ExitStack() as held:
        clients = [held.enter_context(connected(served, source=source)) for _ in range(count)]
        for client in clients:
            client.sendall(length(LARGE) + UPLOAD[:BROUGHT])
        yield clients


def finished(client: socket) -> int:
    """Bring the rest of a body, and return the status of the answer."""
    client.sendall(UPLOAD[BROUGHT:])
    return read_one(client).status


def test_beyond_the_limit_of_all_bodies_the_oldest_incomplete_ones_get_503(served: Stack) -> None:
    with counted(served, "unfinished", 3), begun(served, FIT + 3) as clients:
        cut, kept = clients[:3], clients[3:]
        refused = [answers(read_all(client)) for client in cut]

        assert [finished(client) for client in kept] == [200] * FIT

    for (answer,) in refused:
        assert answer.status == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.problem["code"] == "too_many_bodies"
        assert answer.problem["detail"] == (
            f"the bodies of all requests together exceed the limit of {MOST} bytes for this "
            "process, and the body of this request was incomplete; try again"
        )
    eventually(lambda: held(served) == 0)


def test_many_large_bodies_take_no_more_memory_than_the_limit(served: Stack) -> None:
    api = served.processes()["api"]
    before, sizes = rss(api), []

    with ExitStack() as many:
        for _ in range(12):
            many.enter_context(begun(served, 10))
            sizes.append(rss(api))

    assert max(sizes) - before < MOST + 15e6
    eventually(lambda: held(served) == 0)


def test_a_small_body_is_accepted_while_large_ones_fill_the_limit(served: Stack) -> None:
    with begun(served, FIT + 1) as clients:
        read_all(clients[0])

        assert [told(served, SMALL).status for _ in range(20)] == [200] * 20


def test_the_address_with_the_most_bytes_is_refused_first(served: Stack) -> None:
    with begun(served, 1, source=OTHER) as (upload,), begun(served, FIT + 3) as clients:
        for client in clients[:4]:
            assert [answer.status for answer in answers(read_all(client))] == [503]

        assert finished(upload) == 200


def test_complete_bodies_are_never_refused() -> None:
    """As these wait for their turn, a large body that comes is refused, and a small one is not."""
    bodies, refused = Bodies(1000), []

    def come(name: str, size: int, *, whole: bool) -> None:
        bodies.add(name, size, peer="127.0.0.1", refuse=lambda: refused.append(name))
        if whole:
            bodies.finish(name)
        bodies.enforce()

    come("worked on", 600, whole=True)
    come("waits", 390, whole=True)
    come("large", 20, whole=False)
    come("small", 20, whole=True)

    assert refused == ["large"]
    assert bodies.total == 1010
    for name in ("worked on", "waits", "large", "small"):
        bodies.forget(name)
    assert bodies.total == 0


def test_an_earlier_request_is_answered_when_a_body_is_refused(served: Stack) -> None:
    """The body is that of a second request on its connection."""
    with connected(served) as client:
        client.sendall(SMALL.replace(b"Connection: close\r\n", b""))
        first = read_one(client)
        client.sendall(length(LARGE) + UPLOAD[:BROUGHT])
        with begun(served, FIT):
            second = answers(read_all(client))

    assert [first.status, *(answer.status for answer in second)] == [200, 503]


WHOLE = b"Content-Length: 300000\r\n\r\n" + b" " * 300_000
HALF = b"Content-Length: 300000\r\n\r\n" + b" " * 150_000
CHUNK = b"186a0\r\n" + b" " * 100_000 + b"\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
STREAM = b"GET /v1/jobs/job_none/metrics/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
ENDS = {
    "answered": POST + WHOLE,
    "half": POST + HALF,
    "chunked": CHUNKED + CHUNK * 3 + b"0\r\n\r\n",
    "half chunked": CHUNKED + CHUNK,
    "malformed": CHUNKED + CHUNK + b"zz\r\n",
    "too large": POST + b"Content-Length: 2000000\r\n\r\n" + b" " * 2_000_000,
    "another type": POST.replace(b"json", b"xml") + WHOLE,
    "nobody reads": GET + WHOLE,
    "nobody reads half": GET + HALF,
    "no such job": STREAM + WHOLE,
    "pipelined": POST + WHOLE + GET + WHOLE + POST + HALF,
}
"""Ways in which a connection with a body can go on and end."""


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "stays"])
@pytest.mark.parametrize("name", ENDS)
def test_a_body_stops_counting_when_its_request_ends(
    served: Stack, name: str, leaves: bool
) -> None:
    with connected(served) as client, suppress(ConnectionError):  # it was refused meanwhile
        client.sendall(ENDS[name])
        if not leaves:
            client.shutdown(SHUT_WR)
            read_all(client)

    eventually(lambda: held(served) == 0)


def test_an_unread_body_stops_counting_with_the_response(served: Stack) -> None:
    with ExitStack() as many:
        for _ in range(10):
            client = many.enter_context(connected(served))
            client.sendall(GET + WHOLE)
            assert read_one(client).status == 200

        assert held(served) == 0


def test_the_body_of_a_preview_counts_until_the_answer_begins(served: Stack) -> None:
    """The answer is streamed, and may be read slowly."""
    preview = {"schedule": {"kind": "cosine"}, "lr": 0.1, "total_steps": 500_000}
    text = json.dumps(preview).encode().ljust(LARGE)
    head = POST.replace(b"/v1/jobs/validate", b"/v1/schedules/preview")
    with connected(served, buffer=2**14) as client:
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        client.recv(100)

        assert held(served) == 0


@pytest.mark.anyio
async def test_a_body_stops_counting_when_the_application_fails() -> None:
    async def failing(*_: object) -> None:
        raise ZeroDivisionError

    forgotten: list[bool] = []
    untyped: Any = until_answered(failing, lambda: forgotten.append(True))

    with pytest.raises(ZeroDivisionError):
        await untyped({}, None, None)

    assert forgotten == [True]
