"""What is no request gets a problem that says so, and never spoils the answer to an earlier one."""

from __future__ import annotations

import httpx
import pytest

from optserve.local.stack import Stack
from tests.support.http.connections.raw import GET, answers, connected, counted, read_all, told

HOST = b"Host: 127.0.0.1\r\n"


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (b"GARBAGE\r\n\r\n", "Invalid method encountered"),
        (b"FOO / HTTP/1.1\r\n\r\n", "Invalid method encountered"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "Expected HTTP/, RTSP/ or ICE/"),
        (b"GET / HTTP/9.9\r\n\r\n", "Invalid HTTP version"),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "Invalid char in url path"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "Invalid header token"),
        (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", "Invalid header value char"),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", "Unexpected whitespace after header value"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "Expected CRLF after version"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "Invalid character in Content-Length"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "Duplicate Content-Length",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding can't be present with Content-Length",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "Invalid character in chunk size",
        ),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "it is HTTP/2, and must be HTTP/1.1"),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "it is TLS, and must be plain HTTP: use http://",
        ),
        (
            b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: a\r\nContent-Length: 2\r\n\r\n{}",
            "a request with a body must not ask for an upgrade",
        ),
        (b"GET http://[:/ HTTP/1.1\r\n" + HOST + b"\r\n", "its target is not a path"),
        (b"CONNECT a:1 HTTP/1.1\r\n" + HOST + b"\r\n", "its target is not a path"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bytes_that_are_not_a_request_are_a_400(running: Stack, raw: bytes, what: str) -> None:
    with counted(running, "malformed", 1):
        answer = told(running, raw)

    assert answer.status == 400
    assert answer.problem["code"] == "malformed_request"
    assert answer.problem["detail"] == f"the request cannot be read: {what}"


def test_earlier_requests_are_answered_before_a_refusal(running: Stack) -> None:
    with connected(running) as client:
        client.sendall(GET + b"\r\nGARBAGE\r\n\r\n")
        found = answers(read_all(client))

    assert [answer.status for answer in found] == [200]
    assert found[0].body == b'{"status":"ok"}'


def test_a_malformed_body_is_refused_after_earlier_responses(running: Stack) -> None:
    wrong = b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"

    with connected(running) as client:
        client.sendall(GET + b"\r\n" + GET + b"\r\n" + wrong)
        found = answers(read_all(client))

    assert [answer.status for answer in found] == [200, 200]


def test_pipelined_requests_are_answered_in_order_up_to_a_limit(
    running: Stack,
) -> None:
    with connected(running) as client:
        client.sendall((GET + b"\r\n") * 9 + GET + b"Connection: close\r\n\r\n")
        few = answers(read_all(client))
    with counted(running, "pipelined", 1), connected(running) as client:
        client.sendall((GET + b"\r\n") * 500)
        many = answers(read_all(client))

    assert [answer.status for answer in few] == [200] * 10
    assert {answer.status for answer in many} == {200}
    assert len(many) == 17


@pytest.mark.parametrize("what", ["websocket", "h2c"])
def test_an_upgrade_is_ignored_and_the_request_answered(running: Stack, what: str) -> None:
    """So `curl --http2` asks for HTTP/2."""
    upgrade = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {what}\r\n"

    answer = told(running, GET + upgrade.encode() + b"HTTP2-Settings: AA\r\n\r\n")

    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    assert answer.headers["connection"] == "close"


def test_one_connection_serves_many_requests(running: Stack) -> None:
    with httpx.Client(base_url=running.url) as http:
        found = [http.get("/healthz").status_code for _ in range(50)]

    assert found == [200] * 50
