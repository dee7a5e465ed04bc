"""``optserve chaos``: the soak, against a stack of its own or against one's deployment."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from optserve import stack
from optserve.chaos.campaign import Campaign, Report
from optserve.options import FAILED
from optserve.terminal import Terminal, out

LEASE_S = 5.0
WORKERS = 4
SHOWN = 20
"""Violations that are printed."""


class Own:
    """The processes of a stack of our own: all of them may be hurt."""

    def __init__(self, running: stack.Stack) -> None:
        self._running = running

    def find(self, name: Literal["api", "server"]) -> int | None:
        """Return the process of that part."""
        return self._running.processes().get(name)

    def workers(self) -> Collection[int] | None:
        """Return None: all."""
        return None


class Given:
    """Workers of somebody's deployment whose trainers may be hurt; nobody else."""

    def __init__(self, pids: Collection[int]) -> None:
        self._pids = pids

    def find(self, name: Literal["api", "server"]) -> int | None:
        """Return None: they are not to be hurt."""
        del name
        return None

    def workers(self) -> Collection[int] | None:
        """Return those that were given."""
        return self._pids


def command(
    *,
    num_jobs: Annotated[int, typer.Option("--jobs", min=1)] = 100,
    minutes: Annotated[float, typer.Option(min=0.1, help="It must be over by then.")] = 5,
    seed: Annotated[int | None, typer.Option(help="Default: a new one, which is told.")] = None,
    kills: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="SIGKILLs of trainers, workers, API; a fifth as many stops and a tenth as many "
            "of the server come on top. Default: a third of the jobs.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="A service of yours; its workers must be equal. Default: a new stack."),
    ] = None,
    worker_pid: Annotated[
        list[int] | None,
        typer.Option(help="With --url: a worker here whose trainers may be hurt. Repeatable."),
    ] = None,
    lease: Annotated[float, typer.Option(help="With --url: OPTSERVE_LEASE_S of it.")] = 30.0,
) -> None:
    """Train small jobs while processes are killed and stopped, and prove that nothing is lost."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    num_kills = num_jobs // 3 if kills is None else kills
    out.say(f"seed {seed}: {num_jobs} jobs, within {minutes:g} minutes")
    if url is None:
        with own_stack() as running:
            report = against(
                running, seed=seed, num_jobs=num_jobs, minutes=minutes, num_kills=num_kills
            )
    else:
        pids = worker_pid or []
        report = Campaign(
            url=url,
            name=_name(seed),
            seed=seed,
            num_jobs=num_jobs,
            minutes=minutes,
            num_kills=num_kills if pids else 0,
            lease_s=lease,
            victims=Given(pids),
            whole=False,
            look_after=lambda: None,
        ).run()
    show(report, out)
    if report.violations:
        raise typer.Exit(FAILED)


@contextmanager
def own_stack(worker_module: str = "worker.main") -> Iterator[stack.Stack]:
    """Give a stack on a temporary home, with several workers and a short lease."""
    before = os.environ.get("OPTSERVE_LEASE_S")
    os.environ["OPTSERVE_LEASE_S"] = f"{LEASE_S:g}"
    try:
        with (
            tempfile.TemporaryDirectory(prefix="optserve-chaos-") as home,
            stack.running(
                home=Path(home), port=0, workers=WORKERS, worker_module=worker_module
            ) as running,
        ):
            yield running
    finally:
        del os.environ["OPTSERVE_LEASE_S"]
        if before is not None:
            os.environ["OPTSERVE_LEASE_S"] = before


def against(
    running: stack.Stack, *, seed: int, num_jobs: int, minutes: float, num_kills: int
) -> Report:
    """Run the soak against a stack of our own."""
    return Campaign(
        url=running.url,
        name=_name(seed),
        seed=seed,
        num_jobs=num_jobs,
        minutes=minutes,
        num_kills=num_kills,
        lease_s=LEASE_S,
        victims=Own(running),
        whole=True,
        look_after=running.look_after,
    ).run()


def _name(seed: int) -> str:
    """Return a value for the label of a soak's jobs: that of no other soak."""
    return f"{seed}-{time.time_ns() // 10**9}"


def show(report: Report, terminal: Terminal) -> None:
    """Print what came of it."""
    struck = report.struck
    killed = ", ".join(
        f"{kind} {struck[kind]}" for kind in ("trainer", "worker", "api", "server") if struck[kind]
    )
    facts = {
        "jobs": f"{report.succeeded} of {report.num_jobs} succeeded, {report.attempts} attempts",
        "SIGKILL": f"{report.kills}" + (f" ({killed})" if killed else ""),
        "SIGSTOP": f"{struck['stop']}",
        "rows": f"{report.verified} computed again, each equal",
        "silence": f"{report.silence_s:.1f} s at most while a job ran, "
        f"{report.standstill_s:.1f} s while jobs waited",
        "time": f"{report.took_s:.0f} s",
    }
    for fact, value in facts.items():
        terminal.say(f"{fact:<9} {value}")
    for violation in report.violations[:SHOWN]:
        terminal.say(f"WRONG     {violation}", style="red")
    if len(report.violations) > SHOWN:
        terminal.say(f"... and {len(report.violations) - SHOWN} more", style="red")
    verdict = "nothing lost, nothing twice, the same bits"
    if report.violations:
        verdict = f"{len(report.violations)} violations; --seed {report.seed} repeats the soak"
    terminal.say(verdict)
