"""The live line of a followed job."""

import pytest

from optserve.cli.output.live import Speed, duration, follow, progress_line
from optserve.cli.output.terminal import Terminal
from optserve.client import Client
from optserve.contract.answers.jobs import Job
from optserve.contract.answers.metrics import MetricRow
from optserve.contract.states import State
from tests.support.http.scripted import JOB, Scripted, end, rows, streams, truncated


def test_the_line_shows_step_lr_loss_speed_and_time_left() -> None:
    last = MetricRow(step=99, lr=0.001, loss=0.5)

    line = progress_line(State.RUNNING, last, 600, 25.0)

    assert line == "step 100/600  lr 0.001  loss 0.5000  25.0 steps/s  0:20 left"
    assert len(line) <= 80


@pytest.mark.parametrize(
    ("lr", "shown"),
    [(0.1, "lr 0.1 "), (3.0000000123e-7, "lr 3e-07 "), (12.3456, "lr 12.35 "), (0.0, "lr 0 ")],
)
def test_an_lr_of_any_size_keeps_its_first_digits(lr: float, shown: str) -> None:
    assert shown in progress_line(State.RUNNING, MetricRow(step=0, lr=lr, loss=1), 600, 0)


def test_a_job_is_followed_over_truncations_to_its_end() -> None:
    script = streams(rows(0, 1, 2), truncated(1), rows(1, 2, truncations=1), end(3))
    with Scripted(script) as server, Client(server.url) as client:
        over = follow(client, Job.model_validate(JOB), Terminal())

    assert over.rows == 3
    assert len(server.requests) == 1


def test_before_the_first_step_the_line_shows_the_state() -> None:
    assert progress_line(State.QUEUED, None, 600, 0.0) == "queued ..."


def test_speed_is_measured_over_the_last_seconds() -> None:
    now = 0.0
    speed = Speed(clock=lambda: now)
    for second in range(20):
        now = float(second)
        speed.update(second * 10 if second < 10 else 90 + (second - 9) * 50)

    assert speed() == 50.0


def test_durations() -> None:
    assert [duration(s) for s in (0, 59.4, 65, 3725)] == ["0:00", "0:59", "1:05", "1:02:05"]
