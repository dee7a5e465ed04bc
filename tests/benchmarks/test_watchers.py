"""What the benchmark of streams says of those who watch."""

import time

import pytest

from benchmarks.watchers import steps_wanted
from benchmarks.watching.clients import Client, told


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "counting", True)
    monkeypatch.setattr(Client, "lags", [])
    monkeypatch.setattr(Client, "counts", dict.fromkeys(Client.counts, 0))


def event(first: int, last: int) -> bytes:
    rows = f"[{first},0.1,{time.time()}],[{last},0.1,{time.time()}]"
    return f'event: rows\ndata: {{"rows":[{rows}]}}\nid: {last}\n\n'.encode()


@pytest.mark.usefixtures("counting")
def test_one_who_starves_among_many_is_seen() -> None:
    clients = [Client("/") for _ in range(100)]
    for client in clients[1:]:
        client.data_received(event(0, 999))

    found = told(clients, seconds=10)

    assert found["steps"] == 99_000
    assert found["fewest"] == 0 < steps_wanted(found)


@pytest.mark.usefixtures("counting")
def test_all_have_what_is_wanted_while_the_last_steps_are_on_their_way() -> None:
    client = Client("/")
    client.data_received(event(0, 499) + event(500, 899))

    found = told([client], seconds=10)

    assert found["fewest"] == 900 >= steps_wanted(found)
