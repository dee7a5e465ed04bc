"""What came of a soak, and how it is told."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.chaos.strikes import Kind
from optserve.cli.output.terminal import Terminal

SHOWN = 20
"""Violations that are printed."""
COLUMNS, INDENT = 80, 10


@dataclass
class Report:
    """
    What came of a soak.

    Attributes:
        seed: replays it.
        num_jobs: how many were to be trained.
        succeeded: how many did.
        struck: processes that were hurt, by kind.
        attempts: of all jobs together.
        verified: rows computed again after an interruption, each equal to the one stored.
        archived: jobs whose rows were read from files in the end; None where these are not ours.
        silence_s: longest time for which a job ran without an entry of its history.
        standstill_s: longest time for which jobs waited and no job had one.
        took_s: from the first job to the last.
        violations: what must not be; empty if all is well.
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
        """SIGKILLs, those of the server included."""
        return self.struck.total() - self.struck["stop"]


def show(report: Report, terminal: Terminal) -> None:
    """Print what came of it."""
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
