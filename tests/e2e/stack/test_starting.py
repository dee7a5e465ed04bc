"""A stack some part of which dies before it is ready: that is no reason to end."""

import os
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import redis

from optserve.client import Client
from optserve.contract.states import State
from optserve.local import stack
from optserve.local.embedded import EmbeddedServer
from optserve.local.errors import StackError
from optserve.local.store import Store
from optserve.local.valkey import binary
from tests.support.machine.processes import alive, command_line, descendants, eventually, kill
from tests.support.service.commands import optserve, started
from tests.support.service.jobs import SHORT, finished
from tests.support.service.stacks import stack_with
from tests.support.strange import misconfigured

pytestmark = pytest.mark.long

SEED = 7


def part(parent: int, what: str, *, other_than: int = 0) -> int:
    """Return the descendant of *parent* in whose command line *what* is, once there is one."""
    found: list[int] = []

    def there() -> bool:
        found[:] = [
            pid
            for pid in descendants(parent)
            if what in command_line(pid) and pid != other_than and alive(pid)
        ]
        return bool(found)

    eventually(there)
    return found[0]


def warned_and_ready(process: subprocess.Popen[str]) -> str:
    """Return the URL that `optserve up` prints once it is ready, after what it says of deaths."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"ready at (http://\S+)", line):
            return found[1]
        assert re.search(r" ended with exit code -9; its log is ", line), line
    raise AssertionError("it has ended")


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("valkey-server", marks=pytest.mark.slow),
        pytest.param("api.app", marks=pytest.mark.slow),
        "worker.main",
    ],
)
def test_what_is_killed_while_the_stack_starts_is_started_again(tmp_path: Path, what: str) -> None:
    draw = random.Random(f"{SEED} {what}")
    with started("up", home=tmp_path) as process:
        killed = 0
        for _ in range(2):
            killed = part(process.pid, what, other_than=killed)
            time.sleep(draw.uniform(0, 1))  # a moment of its start
            kill(killed)

        warned_and_ready(process)
        assert part(process.pid, what) != killed


def test_a_fork_server_that_is_killed_while_it_imports_is_started_again(tmp_path: Path) -> None:
    with started("up", home=tmp_path) as process:
        kill(part(process.pid, "worker.processes.forkserver"))

        with Client(warned_and_ready(process)) as client:
            job = finished(client, client.submit(SHORT).id)
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_killed_while_the_stack_starts_it_becomes_ready(
    tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    with started("up", "--workers", "2", home=tmp_path) as process:
        for _ in range(8):
            time.sleep(draw.uniform(0, 0.7))
            if family := descendants(process.pid):
                kill(draw.choice(family))

        warned_and_ready(process)


def test_a_part_that_can_never_work_ends_the_start_with_what_it_says(tmp_path: Path) -> None:
    began = time.monotonic()
    with (
        pytest.raises(StackError) as raised,
        stack_with(tmp_path, worker_module="tests.support.strange.misconfigured"),
    ):
        pass

    assert str(raised.value) == f"worker 0 cannot start: {misconfigured.SAID}"
    assert time.monotonic() - began < stack.START_S / 2


@pytest.mark.slow
def test_a_part_that_dies_a_few_times_is_waited_for(tmp_path: Path) -> None:
    with stack_with(
        tmp_path, worker_module="tests.support.strange.short_lived", TEST_DEATHS="2"
    ) as running:
        with Client(running.url) as client:
            (worker,) = client.workers()

        assert worker.pid == running.processes()["worker 0"]


def test_a_part_that_keeps_dying_ends_the_start_with_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(StackError) as raised,
        stack.running(home=tmp_path, port=0, worker_module="nowhere", start_s=5.0),
    ):
        pass

    first, second, *log = str(raised.value).splitlines()
    assert first == f"the stack is not ready after 5 s; see {tmp_path / 'logs'}"
    assert re.fullmatch(r"worker 0 died \d+ times; the end of its log:", second)
    assert len(log) >= 1
    assert all(line.endswith("No module named nowhere") for line in log)


NUM_KEYS = 2000


@pytest.fixture
def slow_server(tmp_path: Path) -> Callable[..., EmbeddedServer]:
    """Makes servers that take five seconds to load their file."""
    home = tmp_path / "slow"
    with EmbeddedServer(home) as server, redis.from_url(server.url) as client:
        client.mset({f"key {i}": "value" for i in range(NUM_KEYS)})
        client.bgrewriteaof()
        eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    delays = (
        f"--key-load-delay {5_000_000 // NUM_KEYS} --loading-process-events-interval-bytes 1024"
    )
    program = tmp_path / "slow-server"
    program.write_text(f'#!/bin/sh\nexec {binary()} "$@" {delays}\n')
    program.chmod(0o700)
    return partial(EmbeddedServer, home, program=str(program))


def test_a_server_may_read_its_file_for_longer_than_it_may_be_silent(
    slow_server: Callable[..., EmbeddedServer],
) -> None:
    """Otherwise a server with years of data would never start again."""
    with slow_server(start_s=2.5) as server, redis.from_url(server.url) as client:
        assert client.dbsize() == NUM_KEYS


def test_a_server_that_dies_while_it_starts_is_started_again(
    slow_server: Callable[..., EmbeddedServer],
) -> None:
    server, first = slow_server(), list[int]()

    def strike() -> None:
        eventually(lambda: says_that_it_loads(server.url))
        first.append(server.pid)  # this process has others, of stacks that tests share
        kill(first[0])

    striker = threading.Thread(target=strike)
    striker.start()
    with server, redis.from_url(server.url) as client:
        striker.join()
        assert client.dbsize() == NUM_KEYS
        assert server.pid != first[0]


def says_that_it_loads(url: str) -> bool:
    try:
        with redis.from_url(url, retry=None) as client:
            client.ping()
    except redis.BusyLoadingError:
        return True
    except redis.ConnectionError:
        pass
    return False


@pytest.mark.slow
def test_a_given_store_that_reads_its_file_is_waited_for(
    slow_server: Callable[..., EmbeddedServer], tmp_path: Path
) -> None:
    given, prepared = slow_server(), list[bool]()

    def prepare() -> None:
        eventually(lambda: says_that_it_loads(given.url))
        Store(tmp_path, given.url, inherited_fds=[]).start(threading.Event())
        prepared.append(True)

    thread = threading.Thread(target=prepare)
    thread.start()
    with given:
        thread.join()
    assert prepared == [True]


@pytest.mark.slow
def test_garbage_behind_what_the_server_keeps_is_a_sentence_and_can_be_cut_off(
    tmp_path: Path,
) -> None:
    """As a machine may leave it that lost its power."""
    with stack_with(tmp_path) as running, Client(running.url) as client:
        job = finished(client, client.submit(SHORT).id)
        rows = list(client.metrics(job.id))
    (file,) = (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")
    with file.open("ab") as opened:
        opened.write(b"\0" * 4096)

    refused = optserve("up", home=tmp_path)
    repaired = optserve("doctor", "--repair", home=tmp_path)

    assert refused.returncode == 1
    said, todo = refused.stderr.splitlines()
    assert said.startswith(f"the embedded server cannot read its files in {file.parents[1]}: ")
    assert todo == f"To find out what is wrong: optserve doctor --home {tmp_path}"
    assert repaired.returncode == 0
    assert f"repaired  redis: files: 4096 bytes were truncated from {file}" in repaired.stdout
    with stack_with(tmp_path, workers=0) as running, Client(running.url) as client:
        assert client.job(job.id) == job
        assert list(client.metrics(job.id)) == rows


def test_a_stack_works_on_a_home_of_any_name(tmp_path: Path) -> None:
    home = tmp_path / "100%25 what?#1 'a'=1 \"b\" \\ \t \n ü"
    with stack_with(home) as running, Client(running.url) as client:
        job = finished(client, client.submit(SHORT).id)
        clone = finished(client, client.clone(job.id).id)
        archive = running.home / "storage" / "jobs" / "local" / job.id / "archive"
        eventually(lambda: any(archive.glob("*-rows.parquet")))
        steps = [row.step for row in client.metrics(job.id)]

    assert [job.state, clone.state] == [State.SUCCEEDED] * 2
    assert steps == list(range(60))


def test_a_home_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff")
    with pytest.raises(StackError) as raised, stack_with(tmp_path / name):
        pass

    assert str(raised.value) == (
        f"--home (OPTSERVE_HOME) must be a path in UTF-8, got {str(tmp_path / name)!r}"
    )
