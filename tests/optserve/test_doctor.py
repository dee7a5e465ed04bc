"""``optserve doctor`` on homes that are well, and on such as crashes and people leave behind."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
from redis.client import Pipeline

from control.retention import Retention
from control.storage import StorageCheck
from optserve.local import homes
from optserve.local.doctor.findings import Home
from optserve.local.doctor.jobs import check_archives
from store.jobs import calls
from store.redis import keys
from store.redis.functions import send
from store.settings import Settings
from store.storage.names import STORE
from store.storage.storage import Storage
from tests.support.checkout import ROOT
from tests.support.service.homes import commands, doctor, problems, store


def test_a_healthy_home_has_no_problems(home: Path) -> None:
    before = commands(home).read_bytes()

    done = doctor(home)

    assert problems(done) == []
    lines = done.output.splitlines()
    assert all(line.startswith("ok ") for line in lines[:-1]), done.output
    assert lines[-1] == "no problems"
    assert "ok        store: settings: the server stores accepted jobs durably" in lines
    assert "ok        jobs: leases: 1 job in this set, none misplaced" in lines
    assert commands(home).read_bytes() == before


def test_every_check_is_documented(home: Path) -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()

    looked_at = {line[10:].rsplit(": ", 1)[0] for line in doctor(home).output.splitlines()[:-1]}
    subjects = {re.match(r"(jobs|redis|storage|store): [a-z ]+|[a-z]+", each) for each in looked_at}
    names = {found[0] for found in subjects if found}

    assert len(names) >= 15
    assert not [name for name in names if f"`{name}`" not in page and f"`{name[6:]}`" not in page]


def members(client: redis.Redis, key: str) -> list[str]:
    found: Any = client.zrange(key, 0, -1)
    return [member.decode() for member in found]


def lease_of_nobody(client: redis.Redis, storage: Storage) -> str:
    client.zadd(keys.LEASES, {b"local/job_nobody": 0, b"\xff": 0})
    return "jobs: leases: local/job_nobody, \\udcff should not be in this set"


def running_without_a_lease(client: redis.Redis, storage: Storage) -> str:
    (member,) = members(client, keys.LEASES)
    client.zrem(keys.LEASES, member)
    return f"jobs: running: {member} run without a lease"


def broken_record(client: redis.Redis, storage: Storage) -> str:
    job_id = members(client, keys.JOBS % "local")[0]
    client.hset(keys.JOB % ("local", job_id), "rows", "many")
    return f"jobs: records: local/{job_id} have records that cannot be read"


def record_of_another_kind(client: redis.Redis, storage: Storage) -> str:
    job_id = members(client, keys.JOBS % "local")[0]
    client.set(keys.JOB % ("local", job_id), "text")
    return f"jobs: records: local/{job_id} have records that cannot be read"


def archive_gone(client: redis.Redis, storage: Storage) -> str:
    (file,) = storage.root.glob("jobs/*/*/archive/*-rows.parquet")
    file.unlink()
    return f"jobs: archives: local/{file.parent.parent.name} have lost rows or history"


def checkpoints_gone(client: redis.Redis, storage: Storage) -> str:
    job_id = members(client, keys.JOBS % "local")[-1]
    kept = f'[{{"step": 1, "path": "jobs/local/{job_id}/1-a/checkpoints/x", "sha256": ""}}]'
    client.hset(keys.JOB % ("local", job_id), "checkpoints", kept)
    return f"jobs: checkpoints: local/{job_id} have lost their checkpoints, or their starting state"


def parent_gone(client: redis.Redis, storage: Storage) -> str:
    job_id = members(client, keys.JOBS % "local")[-1]
    parent = {"job": "job_0", "step": 3, "path": f"jobs/local/{job_id}/parent", "sha256": ""}
    client.hset(keys.JOB % ("local", job_id), "parent", json.dumps({**parent, "keep": "weights"}))
    return f"jobs: checkpoints: local/{job_id} have lost their checkpoints, or their starting state"


def name_gone(client: redis.Redis, storage: Storage) -> str:
    (storage.root / STORE).unlink()
    return f"storage: name: {storage.root} lacks the file that this store wrote there: store"


def set_aside(client: redis.Redis, storage: Storage) -> str:
    send(client, calls.set_aside("archive", "local/job_odd", why="a bad day"))
    return "set aside: archive: local/job_odd has not been handled since"


def name_of_another(client: redis.Redis, storage: Storage) -> str:
    (storage.root / STORE).write_text("another one")
    return f"storage: name: {storage.root} belongs to another store"


@pytest.mark.parametrize(
    ("harm", "repairable"),
    [
        (lease_of_nobody, True),
        (running_without_a_lease, True),
        (broken_record, False),
        (record_of_another_kind, False),
        (archive_gone, False),
        (checkpoints_gone, False),
        (parent_gone, False),
        (name_gone, False),
        (set_aside, True),
        (name_of_another, False),
    ],
)
def test_inconsistencies_are_found(
    home: Path, harm: Callable[[redis.Redis, Storage], str], repairable: bool
) -> None:
    with store(home) as client:
        said = harm(client, Storage(home / "storage"))

    found = problems(doctor(home))
    repaired = doctor(home, "--repair")

    assert any(said in line for line in found), found
    assert (repaired.exit_code == 0) == repairable, repaired.output
    assert (problems(doctor(home)) == []) == repairable


def test_the_service_requeues_a_job_that_ran_without_a_lease(home: Path) -> None:
    with store(home) as client:
        client.delete(keys.LEASES)

    done = doctor(home, "--repair")

    assert "1 job will be requeued as soon as the service runs" in done.output
    with store(home) as client:
        assert len(send(client, calls.reap(limit=10, lease_ms=0)).jobs) == 1


class Removed(Pipeline):
    """Reads records, and lets retention remove the jobs that have ended right after that."""

    retention: ClassVar[Retention]

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        found: list[Any] = super().execute(raise_on_error)
        self.retention.run()
        return found


class Removing(redis.Redis):
    """A connection whose pipelines are `Removed`."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Removed:
        return Removed(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def test_a_job_that_retention_removes_meanwhile_has_lost_nothing(home: Path) -> None:
    settings = Settings(home=home, keep_jobs=0)
    with store(home) as client:
        check = StorageCheck(client, Storage(settings.storage_dir))
        Removed.retention = Retention(client, check.storage, check, settings)
        looking = Removing(connection_pool=client.connection_pool)

        (found,) = check_archives(Home(home, settings, running=True), looking)

        assert client.zcard(keys.ENDED) == 0
    assert (found.message, found.ok) == ("no problem found", True)


def test_access_of_others_to_the_servers_folder_is_removed(home: Path) -> None:
    (home / "redis").chmod(0o755)

    (problem,) = problems(doctor(home))
    repaired = doctor(home, "--repair")

    assert "redis: access:" in problem
    assert "has mode 755: other users may access all jobs" in problem
    assert repaired.exit_code == 0
    assert (home / "redis").stat().st_mode & 0o777 == 0o700


def test_a_file_in_place_of_a_folder_is_found(home: Path) -> None:
    (home / "run").write_text("a file")

    (problem,) = problems(doctor(home))

    assert f"run: {home / 'run'} is not writable: Not a directory" in problem


def test_a_stale_url_is_removed(home: Path) -> None:
    (home / "url").write_text("http://127.0.0.1:1")

    (problem,) = problems(doctor(home))
    repaired = doctor(home, "--repair")

    assert "has the URL of a service that ended without removing this file" in problem
    assert repaired.exit_code == 0
    assert not (home / "url").exists()


def test_while_a_stack_runs_nothing_is_repaired(home: Path) -> None:
    with homes.locked(home, threading.Event()), store(home) as client:
        client.zadd(keys.LEASES, {"local/job_nobody": 0})

        looked, refused = doctor(home), doctor(home, "--repair")

        assert client.zscore(keys.LEASES, "local/job_nobody") is not None
    (problem,) = problems(looked)
    assert "jobs: leases: local/job_nobody should not be in this set" in problem
    assert f"ok        stack: a stack already runs on {home}" in looked.output
    assert "redis: files: not checked, since a running server writes these files" in looked.output
    assert str(refused.exception).endswith(": stop the stack before using --repair")


def test_an_unused_home_has_no_problems(tmp_path: Path) -> None:
    done = doctor(tmp_path)

    assert problems(done) == []
    assert "ok        store: the store has not been used yet" in done.output
    assert not (tmp_path / "redis").exists()


def test_a_missing_home_is_explained(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "optserve", "doctor", "--home", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == (
        f"--home (OPTSERVE_HOME) must be the folder of a stack, got {str(tmp_path / 'none')!r}\n"
    )
    assert not (tmp_path / "none").exists()


def test_a_missing_store_is_a_problem_where_the_storage_has_its_jobs(home: Path) -> None:
    (home / "redis").rename(home / "elsewhere")

    (found,) = problems(doctor(home))

    assert "store: the store's files are missing, but" in found
    assert "otherwise the next start creates an empty store" in found
