"""Clients of the server are made in one place."""

from pathlib import Path
from typing import Any

import pytest

from store.redis.connect import TIMEOUT_S, connect, connect_async

ROOT = Path(__file__).parents[3]
PACKAGES = ("store", "control", "api", "worker", "optserve")


def test_every_client_is_made_by_connect() -> None:
    made = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "from_url(" in path.read_text()
    ]

    assert made == ["store/redis/connect.py"]


@pytest.mark.parametrize("retries", [0, 3])
def test_a_client_has_the_time_limits_that_were_asked_for(retries: int) -> None:
    url = "redis://127.0.0.1:1"
    clients = (
        connect(url, timeout_s=2, retries=retries),
        connect_async(url, max_connections=1, timeout_s=2, retries=retries),
    )

    for client in clients:
        connection: Any = client.connection_pool.make_connection()
        assert connection.socket_timeout == 2
        assert connection.socket_connect_timeout == TIMEOUT_S
        assert connection.retry.get_retries() == retries
