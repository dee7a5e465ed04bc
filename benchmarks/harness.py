"""
Interleaved pairs: ours and a peer, measured in turn, so that a busy moment hits both.

A single time says little on a machine that others use too. So each pair gives one ratio, and
what is reported is the median of the ratios with the interval that holds it in 95 % of all
repetitions, from their order alone: no assumption on how times are distributed.
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
"""Seconds below which a time is written in a unit, units per second, the unit."""


class Interval(NamedTuple):
    """From *low* to *high*."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """
    Ours beside a peer.

    Attributes:
        name: what was measured.
        ours: seconds, one per pair.
        peer: seconds, one per pair.
        wanted: the ratio that is claimed, or None.
        peer_name: who the peer is.
    """

    name: str
    ours: Sequence[float]
    peer: Sequence[float]
    wanted: float | None = None
    peer_name: str = "torch"

    @property
    def ratios(self) -> list[float]:
        """The peer's time over ours, pair by pair: 2 is twice as fast."""
        return [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        """Median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> Interval:
        """Where the median ratio lies with 95 % confidence."""
        return median_interval(self.ratios)

    @property
    def holds(self) -> bool:
        """Whether the whole interval is at or above what is wanted."""
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
    Return *ours* and *peer* measured in turn, after one pair that does not count.

    Args:
        name: what is measured.
        ours: does it once and returns the seconds it took; see `timed`.
        peer: the same.
        pairs: how many; who goes first alternates.
        wanted: the ratio that is claimed.
        peer_name: who the peer is.
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


def timed(work: Callable[[], object], *, repeats: int = 1) -> Callable[[], float]:
    """Return a function that does *work* *repeats* times and returns the seconds of one."""

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - start) / repeats

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
    Return the interval between two of *values* that holds their true median with *confidence*.

    The number of values below the true median is binomial(n, 1/2), whatever they are; the ranks
    are the innermost symmetric pair that is missed with at most 1 - confidence.
    """
    ordered, n = sorted(values), len(values)
    missed, rank = 2 * 0.5**n, 0
    if missed > 1 - confidence:
        raise ValueError(f"{n} values are too few for a confidence of {confidence}")
    while (more := missed + 2 * math.comb(n, rank + 1) * 0.5**n) <= 1 - confidence:
        missed, rank = more, rank + 1
    return Interval(ordered[rank], ordered[n - 1 - rank])


def percentile(values: Sequence[float], share: int) -> float:
    """Return the one that *share* percent of all are at most."""
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]


def spread(values: Sequence[float]) -> float:
    """Return the distance of the quartiles as a share of the median."""
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / statistics.median(values)


def table(comparisons: Sequence[Comparison]) -> str:
    """Return *comparisons* as a markdown table."""
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
    """Print *comparisons* under *title*, with the machine they were made on."""
    print(f"\n### {title}\n\n{machine()}\n\n{table(comparisons)}")


def duration(seconds: float) -> str:
    """Return *seconds* as people read them."""
    per_second, unit = next(unit_of[1:] for unit_of in UNITS if seconds < unit_of[0])
    return f"{seconds * per_second:.3g} {unit}"


def machine() -> str:
    """Return what the figures were made on, in words."""
    torch = sys.modules.get("torch")
    libraries = f", torch {torch.__version__}, {torch.get_num_threads()} threads" if torch else ""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), load {load:.1f} at the end, "
        f"Python {platform.python_version()}{libraries}"
    )
