"""`python -m benchmarks.chaos`: what it hurts loses nothing, and what is broken it finds."""

import random
import re
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
import redis

from benchmarks.chaos.command import against
from benchmarks.chaos.report import Report
from benchmarks.chaos.service import Service, own_service
from benchmarks.chaos.strikes import Kind, plan
from optserve.local.stack import Stack
from store.redis.library import library
from tests.support.service.commands import chaos

pytestmark = pytest.mark.long

SEED = 7


def soak(service: Service, *, num_jobs: int, num_kills: int, minutes: float) -> Report:
    return against(service, seed=SEED, num_jobs=num_jobs, minutes=minutes, num_kills=num_kills)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_jobs", "num_kills", "minutes"),
    [
        pytest.param(100, 75, 20, marks=pytest.mark.timeout(1500)),
        pytest.param(1000, 300, 90, marks=pytest.mark.timeout(6000)),
    ],
)
def test_jobs_lose_nothing(num_jobs: int, num_kills: int, minutes: float) -> None:
    with own_service() as service:
        report = soak(service, num_jobs=num_jobs, num_kills=num_kills, minutes=minutes)

    assert report.violations == [], f"seed {SEED}"
    assert report.succeeded == num_jobs
    assert report.struck == Counter(plan(num_kills, random.Random(SEED), whole=True))
    assert set(report.struck) == set(get_args(Kind))
    assert report.archived == num_jobs
    assert report.verified > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", ["no_generators", "no_statistics"])
def test_a_checkpoint_that_lacks_something_is_found(mutant: str) -> None:
    """Random numbers by the rows, at once if these were stored before; statistics by the digest."""
    with own_service(f"tests.support.strange.{mutant}") as service:
        report = soak(service, num_jobs=12, num_kills=10, minutes=5)

    found = "digest" if mutant == "no_statistics" else "differs"
    assert any(found in violation for violation in report.violations), report


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rows_that_are_appended_wherever_they_belong_are_found() -> None:
    with own_service() as service:
        by_offset = "local overlap = math.min(count, rows - first)"
        assert library().count(by_offset) == 1
        with redis.from_url(service.redis_url) as store:
            mutant = library().replace(by_offset, "first = rows; local overlap = 0")
            store.function_load(mutant, replace=True)
        report = soak(service, num_jobs=12, num_kills=10, minutes=5)

    assert report.violations


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(400)
def test_the_command_strikes_all_that_runs_and_reports_in_80_columns(tmp_path: Path) -> None:
    options = ("--jobs", "25", "--kills", "16", "--minutes", "5", "--seed", f"{SEED}")

    done = chaos(*options, home=tmp_path, within_s=390)

    said = done.stdout
    struck = Counter(plan(16, random.Random(SEED), whole=True))
    stops = struck.pop("stop")
    assert done.returncode == 0, said + done.stderr
    assert said.splitlines()[0] == f"seed {SEED}: 25 jobs, within 5 minutes"
    assert re.search(r"^jobs +25 of 25 succeeded, \d+ attempts$", said, re.MULTILINE)
    kills = re.search(rf"^SIGKILL +{struck.total()} \((.*?)\)", said, re.MULTILINE | re.DOTALL)
    assert kills is not None
    assert {f"{kind} {count}" for kind, count in struck.items()} == set(
        re.sub(r"\s+", " ", kills[1]).split(", ")
    )
    assert re.search(rf"^SIGSTOP +{stops}$", said, re.MULTILINE)
    assert "25 jobs read from their archives" in said
    assert said.splitlines()[-1] == "nothing lost, nothing twice, the same bits"
    assert max(map(len, said.splitlines())) <= 80


def test_somebody_elses_service_is_not_hurt_unless_told(running: Stack, tmp_path: Path) -> None:
    done = chaos("--jobs", "3", "--url", running.url, "--lease", "5", home=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "SIGKILL   0\n" in done.stdout


def test_what_was_not_done_in_time_is_a_violation(running: Stack, tmp_path: Path) -> None:
    done = chaos("--jobs", "500", "--minutes", "0.1", "--url", running.url, home=tmp_path)

    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert "violations; --seed" in done.stdout
