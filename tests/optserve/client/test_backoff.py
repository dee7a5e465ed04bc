"""Waiting for what went away."""

from optserve.client.backoff import Patience


class Time:
    """A clock that only moves when somebody sleeps."""

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


def test_pauses_double_and_the_whole_wait_is_bounded() -> None:
    time = Time()
    patience = Patience(20, clock=time.clock, sleep=time.sleep)

    while patience.wait():
        pass

    assert time.slept[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert max(time.slept) == 5.0
    assert time.now == 20


def test_progress_starts_the_wait_afresh() -> None:
    time = Time()
    patience = Patience(1, clock=time.clock, sleep=time.sleep)
    while patience.wait():
        pass
    time.now += 1000

    patience.renew()

    assert patience.left_s() == 1
    assert patience.wait()
    assert time.slept[-1] == 0.1


def test_a_wait_that_has_begun_counts_the_attempts_too() -> None:
    time = Time()
    patience = Patience(10, clock=time.clock, sleep=time.sleep)
    patience.begin()
    time.now = 11

    assert patience.left_s() == 0
    assert not patience.wait()
    assert time.slept == []
