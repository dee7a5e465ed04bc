"""The local stack when something dies, or when it is not wanted any more: real signals."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from optserve.client import Client
from optserve.contract.states import State
from optserve.local.embedded import EmbeddedServer
from store.redis import acl
from store.redis.keys import ROWS
from tests.support.machine.processes import (
    alive,
    command_line,
    descendants,
    eventually,
    kill,
    state_of,
)
from tests.support.service.commands import optserve, ready, started
from tests.support.service.jobs import SHORT, begun, finished
from tests.support.service.stacks import stack_with

pytestmark = pytest.mark.long

SOME: dict[str, Any] = {
    **SHORT,
    "training": {"steps": 3000, "seed": 5, "checkpoint_every": 200, "evaluate_every": None},
}
"""Some seconds."""


def child(parent: int, what: str) -> int:
    """Return the descendant of *parent* whose program's path holds *what*, once there is one."""
    found: list[int] = []

    def there() -> bool:
        with suppress(OSError):  # one that just ended
            program = {pid: command_line(pid).partition(" ")[0] for pid in descendants(parent)}
            found[:] = [pid for pid in program if what in program[pid]]
        return bool(found)

    eventually(there)
    return found[0]


@contextmanager
def staying_stopped(pid: int) -> Iterator[None]:
    """
    Stop the process, which leads a group, so that it stays so when its parent dies.

    A group without a member whose parent lies outside of it is continued by the kernel.
    """
    companion = subprocess.Popen(["sleep", "60"], process_group=pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        kill(companion.pid)
        companion.wait()


@pytest.mark.slow
def test_a_server_that_dies_is_started_again_and_the_job_loses_nothing(tmp_path: Path) -> None:
    with started("up", home=tmp_path) as process, Client(ready(process)) as client:
        job_id = client.submit(SOME).id
        begun(client, job_id, steps=100)
        server = child(process.pid, "valkey-server")

        os.kill(server, signal.SIGKILL)

        job = finished(client, job_id)
        assert job.state is State.SUCCEEDED
        assert [row.step for row in client.metrics(job_id)] == list(range(3000))
        assert child(process.pid, "valkey-server") != server


def test_a_stack_that_is_killed_leaves_nothing_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with started("up", home=tmp_path, OPTSERVE_LEASE_S="5") as process:
        with Client(ready(process)) as client:
            job_id = client.submit(SOME).id
            begun(client, job_id, steps=300)
        family = descendants(process.pid)

        process.kill()

        assert len(family) >= 4
        eventually(lambda: not any(alive(pid) for pid in family), within_s=5)

    with (
        started("up", home=tmp_path, OPTSERVE_LEASE_S="5") as process,
        Client(ready(process)) as client,
    ):
        job = finished(client, job_id)
        kinds = [event.kind for event in client.events(job_id)]
        steps = [row.step for row in client.metrics(job_id)]
    assert job.state is State.SUCCEEDED
    assert job.attempt == 2
    assert "requeued" in kinds
    assert steps == list(range(3000))


@pytest.mark.slow
def test_the_next_stack_waits_for_what_a_killed_one_has_left(tmp_path: Path) -> None:
    """A second server on the files of one that still writes them would destroy them."""
    with started("up", home=tmp_path) as process:
        ready(process)
        server = child(process.pid, "valkey-server")
        with staying_stopped(server):
            process.kill()
            process.wait()

            with started("up", home=tmp_path) as second:
                time.sleep(1)  # longer than a server takes to start
                assert state_of(server) == "T"
                assert not [p for p in descendants(second.pid) if "valkey" in command_line(p)]
                os.kill(server, signal.SIGCONT)

                ready(second)
                assert not alive(server)


@pytest.mark.parametrize("reached", ["valkey-server", "python"])
def test_ctrl_c_while_it_starts_ends_all_of_it(tmp_path: Path, reached: str) -> None:
    home = tmp_path / ("long" * 20)  # too long for a socket, which goes to TMPDIR
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with started("up", home=home, TMPDIR=str(temporary)) as process:
        child(process.pid, reached)
        family = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert output == "interrupted before the service was ready; all processes were stopped\n"
    eventually(lambda: not any(alive(pid) for pid in family), within_s=5)
    assert not (home / "url").exists()
    assert list(temporary.iterdir()) == []


def test_a_server_that_was_given_outlives_the_stack(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path / "given") as given:
        with started("up", home=tmp_path, REDIS_URL=given.url) as process:
            ready(process)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

        with redis.from_url(given.url) as client:
            assert client.ping()
    assert process.returncode == 0


def test_a_password_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    file = str(tmp_path / "none")
    variables = {"OPTSERVE_REDIS_URL": "redis://localhost:1", "OPTSERVE_REDIS_PASSWORD_FILE": file}

    done = optserve("up", home=tmp_path, variables=variables)

    assert done.returncode == 1
    assert done.stderr == (
        f"OPTSERVE_REDIS_PASSWORD_FILE must be a file with a password, got {file!r}: "
        "No such file or directory\n"
    )


@pytest.mark.slow
def test_a_password_from_a_file_lets_the_service_do_all_it_does(tmp_path: Path) -> None:
    acl.make(tmp_path)
    _, _, user = (tmp_path / "users.acl").read_text().splitlines()
    with EmbeddedServer(tmp_path / "given") as given, redis.from_url(given.url) as admin:
        admin.execute_command("ACL", "SETUSER", *user.split()[1:])
        url = given.url.replace("unix://", "unix://optserve@")
        password = str(tmp_path / "password")
        with (
            stack_with(tmp_path, REDIS_URL=url, OPTSERVE_REDIS_PASSWORD_FILE=password) as stack,
            Client(stack.url) as client,
        ):
            job = finished(client, client.submit(SHORT).id)
            finished(client, client.clone(job.id).id)
            eventually(lambda: not admin.exists(ROWS % ("local", job.id, 0)))
            assert len(list(client.metrics(job.id))) == job.step

        assert admin.acl_log() == []


def test_files_in_the_working_directory_shadow_no_module(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("json", "redis", "torch", "jobs", "worker", "logging"):
        (folder / f"{name}.py").write_text("raise SystemExit('shadowed')\n")

    with started("up", home=tmp_path, folder=folder) as up, Client(ready(up)) as client:
        job = finished(client, client.submit(SHORT).id)

    assert job.state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"OPTSERVE_HOST": "nowhere.invalid"},
            "--host (OPTSERVE_HOST) must be an address of this machine, got 'nowhere.invalid'",
        ),
        ({"OPTSERVE_HOST": "192.0.2.1"}, "must be an address of this machine, got '192.0.2.1'"),
        ({"OPTSERVE_PORT": "99999"}, "Invalid value for '--port'"),
        ({"OPTSERVE_LEASE_S": "long"}, "OPTSERVE_LEASE_S must be a number, got 'long'"),
        ({"OPTSERVE_LEASE_S": "0.5"}, "OPTSERVE_LEASE_S must be above 1, got '0.5'"),
        (
            {"REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"},
            "the Redis server at redis://***@127.0.0.1:1/0 does not answer",
        ),
        (
            {"REDIS_URL": "redis://:s3/cret@127.0.0.1"},
            "REDIS_URL must be redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, "
            "got 'redis://***@127.0.0.1'",
        ),
        ({"REDIS_URL": "http://:s3cret@x"}, "rediss:// or unix://PATH, got 'http://***@x'"),
        ({"OPTSERVE_HOME": "/dev/null"}, "must be a writable directory, got '/dev/null'"),
    ],
)
def test_a_wrong_setting_is_a_sentence(
    tmp_path: Path, variables: dict[str, str], message: str
) -> None:
    done = optserve("up", home=tmp_path, variables=variables)

    assert done.returncode != 0
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert "cret" not in done.stderr + done.stdout


def test_it_listens_on_ipv6_too(tmp_path: Path) -> None:
    with started("up", home=tmp_path, OPTSERVE_HOST="::1") as process:
        assert ready(process).startswith("http://[::1]:")
