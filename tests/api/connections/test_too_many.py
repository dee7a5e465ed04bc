"""Connections beyond a limit are refused at once, before descriptors run out."""

from __future__ import annotations

from contextlib import ExitStack

import httpx
import pytest

from api.connections.connections import peer_of
from optserve.local.stack import Stack
from tests.support.http.connections.raw import (
    GET,
    OTHER,
    answers,
    connected,
    held,
    metric,
    read_all,
    read_one,
    told,
)
from tests.support.http.connections.short_limits import OF_A_PEER, TOTAL
from tests.support.machine.processes import eventually

REFUSED = "optserve_connections_refused_total"
CLOSE = GET + b"Connection: close\r\n\r\n"


def test_beyond_the_limit_of_one_address_other_addresses_are_served(running: Stack) -> None:
    before = metric(running, REFUSED, limit="peer")

    with held(running, OF_A_PEER, source=OTHER):
        refused = told(running, CLOSE, source=OTHER)
        served = told(running, CLOSE)
    eventually(lambda: told(running, CLOSE, source=OTHER).status == 200)

    assert refused.status == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.problem["code"] == "too_many_connections"
    assert refused.problem["detail"] == (
        f"{OF_A_PEER} connections from your address are open, which is the limit of this process; "
        "send several requests on one connection, or try again"
    )
    assert served.status == 200
    assert metric(running, REFUSED, limit="peer") == before + 1


def test_beyond_the_limit_of_all_a_connection_gets_503(running: Stack) -> None:
    with ExitStack() as many:
        many.enter_context(held(running, OF_A_PEER, source="127.0.0.2"))
        watching = many.enter_context(connected(running))
        watching.sendall(GET + b"\r\n")
        read_one(watching)
        many.enter_context(held(running, TOTAL - OF_A_PEER - 1, source="127.0.0.3"))
        refused = told(running, CLOSE, source=OTHER)
        impatient = told(running, source=OTHER)
        watching.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        seen = read_one(watching).body.decode()

    assert (refused.status, impatient.status) == (503, 503)
    assert refused.problem["detail"].startswith(f"{TOTAL} connections are open")
    assert f"optserve_connections {float(TOTAL)}" in seen
    log = (running.home / "logs" / "api.log").read_text()
    assert f"connections are refused: {TOTAL} are open" in log


def test_many_refused_connections_take_no_descriptors(running: Stack) -> None:
    """Some of them are closed without an answer."""
    with ExitStack() as many:
        many.enter_context(held(running, OF_A_PEER, source=OTHER))
        clients = [many.enter_context(connected(running, source=OTHER)) for _ in range(300)]
        said = [read_all(client) for client in clients]

    told_so = [raw for raw in said if raw]
    assert {answers(raw)[0].status for raw in told_so} == {503}
    assert len(told_so) >= 64


def test_a_refused_client_tries_again(running: Stack) -> None:
    with held(running, OF_A_PEER, source="127.0.0.1"), pytest.raises(httpx.HTTPStatusError):
        httpx.get(f"{running.url}/healthz").raise_for_status()


@pytest.mark.parametrize(
    ("host", "peer"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_clients_are_counted_by_address_and_by_network_of_ipv6(host: str, peer: str) -> None:
    assert peer_of(host) == peer
