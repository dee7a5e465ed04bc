"""Delays between attempts, and their deadline."""

from optserve.client.backoff import Backoff


class Time:
    """A clock that only moves when something sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


def test_delays_double_and_end_at_the_deadline() -> None:
    time = Time()
    backoff = Backoff(20, clock=time.clock, sleep=time.sleep)

    while backoff.wait():
        pass

    assert time.slept[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert max(time.slept) == 5.0
    assert time.now == 20


def test_reset_starts_the_deadline_and_the_delays_over() -> None:
    time = Time()
    backoff = Backoff(1, clock=time.clock, sleep=time.sleep)
    while backoff.wait():
        pass
    time.now += 1000

    backoff.reset()

    assert backoff.remaining_s() == 1
    assert backoff.wait()
    assert time.slept[-1] == 0.1


def test_time_spent_in_attempts_counts_after_start() -> None:
    time = Time()
    backoff = Backoff(10, clock=time.clock, sleep=time.sleep)
    backoff.start()
    time.now = 11

    assert backoff.remaining_s() == 0
    assert not backoff.wait()
    assert time.slept == []
