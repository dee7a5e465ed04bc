"""The command that runs the soak test, against a new service or an existing deployment."""

from __future__ import annotations

import random
import time
from collections.abc import Collection
from typing import Annotated, Literal

import typer

from benchmarks.chaos.campaign import Campaign
from benchmarks.chaos.report import Report, show
from benchmarks.chaos.service import LEASE_S, Service, own_service
from benchmarks.chaos.unfinished import Unfinished
from optserve.cli.options import FAILED
from optserve.cli.output.terminal import out
from store.redis.connect import connect


class Given:
    """The workers of an existing deployment whose trainers may be struck, and no other process."""

    def __init__(self, pids: Collection[int]) -> None:
        self._pids = pids

    def find(self, name: Literal["api", "server", "up"]) -> int | None:
        """Return None: this part must not be struck."""
        del name
        return None

    def parts(self) -> list[int]:
        """Return an empty list: no part may be struck."""
        return []

    def workers(self) -> Collection[int] | None:
        """Return the process ids of the given workers."""
        return self._pids


def command(
    *,
    num_jobs: Annotated[int, typer.Option("--jobs", min=1)] = 100,
    minutes: Annotated[float, typer.Option(min=0.1, help="Time limit in minutes.")] = 5,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the sequence of kills. Default: a new one, which is printed."),
    ] = None,
    kills: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="SIGKILLs of trainers, workers and API processes. Added to these are a fifth as "
            "many SIGSTOPs, and half as many SIGKILLs of other processes. Default: a third of the "
            "number of jobs.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="URL of a running service, whose workers must be equal. Default: a new stack."
        ),
    ] = None,
    worker_pid: Annotated[
        list[int] | None,
        typer.Option(
            help="With --url: process id of a worker on this machine whose trainers may be "
            "killed. Repeatable."
        ),
    ] = None,
    lease: Annotated[float, typer.Option(help="With --url: its OPTSERVE_LEASE_S.")] = 30.0,
) -> None:
    """Train small jobs while processes are killed and stopped, and prove that nothing is lost."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    num_kills = num_jobs // 3 if kills is None else kills
    out.say(f"seed {seed}: {num_jobs} jobs, within {minutes:g} minutes")
    if url is None:
        with own_service() as service:
            report = against(
                service, seed=seed, num_jobs=num_jobs, minutes=minutes, num_kills=num_kills
            )
            service.kept = bool(report.violations)
            if service.kept:
                out.say(f"its home is kept: {service.home}")
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
            unfinished=None,
            supervise=lambda: None,
        ).run()
    show(report, out)
    if report.violations:
        raise typer.Exit(FAILED)


def against(
    service: Service, *, seed: int, num_jobs: int, minutes: float, num_kills: int
) -> Report:
    """Run the soak test against *service*, which was started for it; return the report."""
    with connect(service.redis_url, timeout_s=LEASE_S) as client:
        return Campaign(
            url=service.url,
            name=_name(seed),
            seed=seed,
            num_jobs=num_jobs,
            minutes=minutes,
            num_kills=num_kills,
            lease_s=LEASE_S,
            victims=service,
            unfinished=Unfinished(service.storage, client),
            supervise=service.supervise,
        ).run()


def _name(seed: int) -> str:
    """Return a value for the label of this soak test's jobs that no other soak test has."""
    return f"{seed}-{time.time_ns() // 10**9}"
