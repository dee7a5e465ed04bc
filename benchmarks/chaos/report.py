"""The report of a soak test, and how it is printed."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.chaos.strikes import Kind
from optserve.cli.output.terminal import Terminal

SHOWN = 20
"""Maximum number of violations that are printed."""
COLUMNS, INDENT = 80, 10


@dataclass
class Report:
    """
    The results of a soak test.

    Attributes:
        seed: the seed, with which the test can be repeated.
        num_jobs: the number of jobs to train.
        succeeded: the number of jobs that succeeded.
        struck: the number of strikes, by kind.
        attempts: the number of attempts at all jobs together.
        verified: the number of rows computed again after an interruption, equal to those stored.
        archived: the number of jobs whose rows were moved to files; None for a given deployment.
        silence_s: the longest time for which a running job had no new history entry, in seconds.
        standstill_s: the longest time for which jobs waited and no job had a new entry, in seconds.
        took_s: the time from the first job to the last, in seconds.
        violations: descriptions of what was wrong; empty if the test passed.
    """

    seed: int
    num_jobs: int
    succeeded: int = 0
    struck: Counter[Kind] = field(default_factory=Counter)
    attempts: int = 0
    verified: int = 0
    archived: int | None = None
    silence_s: float = 0.0
    standstill_s: float = 0.0
    took_s: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Number of SIGKILLs, including those of the Redis server."""
        return self.struck.total() - self.struck["stop"]


def show(report: Report, terminal: Terminal) -> None:
    """Print the report."""
    killed = [f"{kind} {count}" for kind, count in report.struck.most_common() if kind != "stop"]
    facts = {
        "jobs": f"{report.succeeded} of {report.num_jobs} succeeded, {report.attempts} attempts",
        "SIGKILL": f"{report.kills}" + (f" ({', '.join(killed)})" if killed else ""),
        "SIGSTOP": f"{report.struck['stop']}",
        "rows": f"{report.verified} computed again, each equal",
        "silence": f"{report.silence_s:.1f} s at most while a job ran, "
        f"{report.standstill_s:.1f} s while jobs waited",
        "time": f"{report.took_s:.0f} s",
    }
    if report.archived is not None:
        facts["files"] = f"{report.archived} jobs read from their archives"
    for fact, value in facts.items():
        terminal.say(
            textwrap.fill(f"{fact:<{INDENT}}{value}", COLUMNS, subsequent_indent=" " * INDENT)
        )
    for violation in report.violations[:SHOWN]:
        terminal.say(f"WRONG     {violation}", style="red")
    if len(report.violations) > SHOWN:
        terminal.say(f"... and {len(report.violations) - SHOWN} more", style="red")
    verdict = "nothing lost, nothing twice, the same bits"
    if report.violations:
        verdict = f"{len(report.violations)} violations; --seed {report.seed} repeats the soak"
    terminal.say(verdict)
