"""Following a job: across broken connections, silence, and truncated rows."""

import threading
from typing import Any

import pytest

from optserve.client import Client
from optserve.client.errors import Unreachable
from optserve.contract.answers.metrics import RowsTruncated, StateChange, StreamEnd
from tests.support.http.scripted import (
    Scripted,
    Step,
    away,
    end,
    hangs_up,
    rows,
    state,
    streams,
    truncated,
)

SPEC = {"model": {"kind": "mlp"}, "optimizer": {"kind": "adam"}}


def steps_of(updates: list[Any]) -> list[int]:
    return [row.step for update in updates if isinstance(update, list) for row in update]


class _Timer(threading.Event):
    """An event that nobody sets: it is over after a time."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self._after_s = after_s

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        return super().wait(self._after_s)


def test_following_continues_after_503_and_after_a_stream_without_an_end() -> None:
    script = [
        away(),
        streams(state("running"), rows(0, 1)),
        hangs_up,
        streams(state("running"), rows(2)),
        streams(state("running"), rows(3), state("succeeded"), end(4)),
    ]
    with Scripted(*script) as server, Client(server.url) as client:
        updates = list(client.follow("job_1"))

    assert steps_of(updates) == [0, 1, 2, 3]
    assert [u.state for u in updates if isinstance(u, StateChange)] == ["running", "succeeded"]
    assert isinstance(updates[-1], StreamEnd)
    assert server.headers("Last-Event-ID") == [None, None, "1", "1", "2"]


@pytest.mark.parametrize(
    "forever",
    [streams(state("running")), streams(), hangs_up, away()],
    ids=["says the same", "says nothing", "hangs up", "503"],
)
def test_following_gives_up_after_retry_for_s_without_progress(forever: Step) -> None:
    script = [streams(state("running"), rows(0)), forever]
    got: list[Any] = []
    with (
        Scripted(*script) as server,
        Client(server.url, retry_for_s=0.5) as client,
        pytest.raises(Unreachable, match=r"Gave up after 0.5 s; the job itself continues"),
    ):
        got.extend(client.follow("job_1"))  # it keeps what came before the failure

    assert steps_of(got) == [0]
    assert 3 <= len(server.requests) <= 6  # paused, not hammered


def test_a_job_that_sends_nothing_is_followed_for_longer_than_retry_for_s() -> None:
    """Connections that stay open for a while show that the service is there."""
    held = streams(state("queued"), _Timer(0.15))
    with (
        Scripted(*[held] * 4, streams(end(0))) as server,
        Client(server.url, retry_for_s=0.3, stable_after_s=0.1) as client,
    ):
        updates = list(client.follow("job_1"))

    assert isinstance(updates[-1], StreamEnd)


def test_truncated_steps_are_sent_again_across_a_broken_connection() -> None:
    script = [
        streams(state("running"), rows(0, 1, 2), truncated(1)),
        streams(rows(1, truncations=1)),
        streams(rows(2, 3, truncations=1), end(4)),
    ]
    with Scripted(*script) as server, Client(server.url) as client:
        updates = list(client.follow("job_1"))

    assert steps_of(updates) == [0, 1, 2, 1, 2, 3]
    assert [u.step for u in updates if isinstance(u, RowsTruncated)] == [1]
    assert server.headers("Last-Event-ID") == [None, "0.1", "1.1"]
