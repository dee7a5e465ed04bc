"""The harness counts right; nothing here asserts how fast anything is."""

import math
import random

import pytest

from benchmarks.harness import (
    Comparison,
    Interval,
    compare,
    duration,
    fastest,
    median_interval,
    spread,
    table,
    timed,
)


def test_ratios_are_made_pair_by_pair() -> None:
    """The peer slows down with ours: the ratio of the medians would say something else."""
    comparison = Comparison("it", ours=[1.0, 10.0, 3.0], peer=[2.0, 20.0, 3.0])

    assert comparison.ratios == [2.0, 2.0, 1.0]
    assert comparison.ratio == 2.0


@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(6, 1, 6), (15, 4, 12), (25, 8, 18), (40, 14, 27)],
)
def test_the_interval_has_the_ranks_of_the_books(n: int, low: int, high: int) -> None:
    """Conover, Practical Nonparametric Statistics, 1999, section 3.2; ranks count from 1."""
    assert median_interval(range(1, n + 1)) == Interval(low, high)


def test_the_interval_holds_the_true_median_as_often_as_it_says() -> None:
    generator = random.Random(1)
    held = 0
    for _ in range(2000):
        low, high = median_interval([generator.lognormvariate(0, 1) for _ in range(15)])
        held += low <= 1 <= high

    assert 0.95 <= held / 2000 <= 0.98  # 96.5 % by the binomial


def test_too_few_values_for_an_interval_are_refused() -> None:
    with pytest.raises(ValueError, match=r"5 values are too few for a confidence of 0\.95"):
        median_interval([1.0] * 5)


def test_who_goes_first_alternates_and_the_first_pair_does_not_count() -> None:
    calls: list[str] = []

    def ours() -> float:
        calls.append("ours")
        return 1.0 if len(calls) > 2 else math.nan

    def peer() -> float:
        calls.append("peer")
        return 2.0 if len(calls) > 2 else math.nan

    comparison = compare("it", ours, peer, pairs=15)

    assert calls[2:6] == ["ours", "peer", "peer", "ours"]
    assert (list(comparison.ours), list(comparison.peer)) == ([1.0] * 15, [2.0] * 15)


def test_too_few_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="pairs must be at least 15, got 14"):
        compare("it", lambda: 1.0, lambda: 1.0, pairs=14)


def test_work_is_repeated_and_the_time_is_of_one() -> None:
    done: list[int] = []

    seconds = timed(lambda: done.append(1), repeats=5)()

    assert len(done) == 5
    assert seconds >= 0


def test_the_fastest_candidate_is_the_one_with_the_lowest_median() -> None:
    times = iter([1.0, 2.0, 9.0, 2.0, 1.0, 2.0])

    name = fastest({"often": lambda: next(times), "never": lambda: next(times)}, rounds=3)

    assert name == "often"


def test_the_spread_is_that_of_the_quartiles() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(1.0)
    assert spread([2.0] * 5) == 0


def test_a_claim_holds_only_if_the_whole_interval_does() -> None:
    times = [1.0] * 15
    assert Comparison("it", times, [2.0] * 15, wanted=2.0).holds
    assert not Comparison("it", times, [1.0] * 4 + [3.0] * 11, wanted=3.0).holds
    assert "3.00 (missed)" in table([Comparison("it", times, [1.0] * 15, wanted=3.0)])


def test_a_ratio_just_below_what_is_wanted_is_not_shown_as_if_it_were_that() -> None:
    row = table([Comparison("it", [1.0] * 15, [0.987] * 15, wanted=0.99)])

    assert "**0.987** | 0.987 to 0.987 | 0.99 (missed)" in row


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34e-6, "12.3 us"), (0.0123, "12.3 ms"), (2.0, "2 s")]
)
def test_durations_are_written_in_their_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
