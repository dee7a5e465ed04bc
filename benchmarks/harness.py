"""
Compares ours with a peer in interleaved pairs, so that a busy moment affects both.

A single time means little on a shared machine. So each pair gives one ratio, and the result is the
median ratio with its 95 % confidence interval. The interval is computed from the order of the
ratios alone, without an assumption about the distribution of times.
"""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MIN_PAIRS = 15
CONFIDENCE = 0.95
UNITS = ((0.5e-3, 1e6, "us"), (0.5, 1e3, "ms"), (math.inf, 1.0, "s"))
"""For each unit: the seconds below which it is used, the units per second, and its symbol."""


class Interval(NamedTuple):
    """The interval from *low* to *high*."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """
    The times of ours and of a peer.

    Attributes:
        name: a description of what was measured.
        ours: the times of ours in seconds, one per pair.
        peer: the times of the peer in seconds, one per pair.
        wanted: the ratio that is claimed, or None.
        peer_name: the name of the peer.
    """

    name: str
    ours: Sequence[float]
    peer: Sequence[float]
    wanted: float | None = None
    peer_name: str = "torch"

    @property
    def ratios(self) -> list[float]:
        """The peer's time divided by ours, for each pair; 2 means that ours is twice as fast."""
        return [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> Interval:
        """The 95 % confidence interval of the median ratio."""
        return median_interval(self.ratios)

    @property
    def holds(self) -> bool:
        """Whether the whole interval is at or above the wanted ratio, if there is one."""
        return self.wanted is None or self.interval.low >= self.wanted


def compare(
    name: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    *,
    pairs: int = 25,
    wanted: float | None = None,
    peer_name: str = "torch",
) -> Comparison:
    """
    Measure *ours* and *peer* in turn, after one pair that does not count; return the comparison.

    Args:
        name: a description of what is measured.
        ours: a function that does the work once and returns its seconds; see `timed`.
        peer: the peer's function, which does the same work.
        pairs: the number of pairs; ours and the peer take turns at being first.
        wanted: the ratio that is claimed, or None.
        peer_name: the name of the peer.
    """
    if pairs < MIN_PAIRS:
        raise ValueError(f"pairs must be at least {MIN_PAIRS}, got {pairs}")
    for warm_up in (ours, peer):
        warm_up()
    times: tuple[list[float], list[float]] = ([], [])
    for i in range(pairs):
        for which in (0, 1) if i % 2 == 0 else (1, 0):
            times[which].append((ours, peer)[which]())
    return Comparison(name, *times, wanted=wanted, peer_name=peer_name)


def timed(
    work: Callable[[], object],
    *,
    repeats: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> Callable[[], float]:
    """
    Return a function that calls *work* *repeats* times and returns the seconds per call.

    The *clock* `time.thread_time` leaves out the time in which other processes run.
    """

    def measure() -> float:
        start = clock()
        for _ in range(repeats):
            work()
        return (clock() - start) / repeats

    return measure


def fastest(candidates: dict[str, Callable[[], float]], *, rounds: int = 7) -> str:
    """Return the name of the candidate with the lowest median, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, measure in candidates.items():
            times[name].append(measure())
    return min(times, key=lambda name: statistics.median(times[name]))


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """
    Return the confidence interval of the true median of *values*; its ends are two of the values.

    The number of values below the true median is binomial(n, 1/2), whatever their distribution. The
    ends have the innermost symmetric ranks that miss the median with a probability of at most
    1 - confidence.
    """
    ordered, n = sorted(values), len(values)
    missed, rank = 2 * 0.5**n, 0
    if missed > 1 - confidence:
        raise ValueError(f"{n} values are too few for a confidence of {confidence}")
    while (more := missed + 2 * math.comb(n, rank + 1) * 0.5**n) <= 1 - confidence:
        missed, rank = more, rank + 1
    return Interval(ordered[rank], ordered[n - 1 - rank])


def percentile(values: Sequence[float], share: int) -> float:
    """Return the smallest of *values* that at least *share* percent of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def spread(values: Sequence[float]) -> float:
    """Return the interquartile range of *values* as a share of their median."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / statistics.median(values)


def table(comparisons: Sequence[Comparison]) -> str:
    """Return *comparisons* as a Markdown table."""
    lines = [
        "| | ours | spread | peer | spread | times as fast | 95 % interval | wanted | pairs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for it in comparisons:
        wanted = "" if it.wanted is None else f"{it.wanted:.2f}{'' if it.holds else ' (missed)'}"
        lines.append(
            f"| {it.name} | {duration(statistics.median(it.ours))} | {spread(it.ours):.0%} "
            f"| {it.peer_name} {duration(statistics.median(it.peer))} | {spread(it.peer):.0%} "
            f"| **{it.ratio:#.3g}** | {it.interval.low:#.3g} to {it.interval.high:#.3g} "
            f"| {wanted} | {len(it.ours)} |"
        )
    return "\n".join(lines)


def show(title: str, comparisons: Sequence[Comparison]) -> None:
    """Print *comparisons* under *title*, with a description of this machine."""
    print(f"\n### {title}\n\n{machine()}\n\n{table(comparisons)}")


def duration(seconds: float) -> str:
    """Return *seconds* as text in a suitable unit, such as ``1.5 ms``."""
    per_second, unit = next(unit_of[1:] for unit_of in UNITS if seconds < unit_of[0])
    return f"{seconds * per_second:.3g} {unit}"


def machine() -> str:
    """Return a description of this machine, its load, and the versions of Python and torch."""
    torch = sys.modules.get("torch")
    libraries = f", torch {torch.__version__}, {torch.get_num_threads()} threads" if torch else ""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), load {load:.1f} at the end, "
        f"Python {platform.python_version()}{libraries}"
    )
