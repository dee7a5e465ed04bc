"""Jobs that have ended, and what was moved of them from the store to files."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import httpx
import redis

from store.jobs import calls
from store.jobs.calls import Claim
from store.jobs.series import Row
from store.redis import keys
from store.redis.functions import send
from store.storage.names import archive_folder
from store.storage.storage import Storage
from store.storage.usable import require_usable
from tests.support.machine.processes import eventually
from tests.support.store.protocol import append, begin, some_rows, submit
from tests.support.store.rounds import Rounds

ROWS = 9000
"""Three chunks."""


def rows(first: int = 0, count: int = ROWS) -> list[Row]:
    return some_rows(first, count)


def run(client: redis.Redis, storage: Storage, *, count: int = ROWS) -> Claim:
    """A running job with rows, times, an evaluation and a checkpoint."""
    submit(client, training={"steps": count, "device": "cpu"})
    held = begin(client, os.urandom(16).hex())
    append(client, held, 0, rows(count=count))
    require_usable(client, storage)  # it becomes this store's
    marks = b"".join(struct.pack("<II", 100 * i, 7 * i) for i in range(1, 50))
    client.set(keys.MARKS % ("local", held.job_id), marks)
    send(client, calls.evaluated(held, step=1, data={"step": 1, "loss": 0.5}))
    return held


def fail(client: redis.Redis, held: Claim) -> None:
    send(client, calls.fail(held, reason="error", detail="enough"))


def files(storage: Storage, job_id: str, kind: str = "*") -> list[Path]:
    return list((storage.root / archive_folder("local", job_id)).glob(kind))


def moved(client: redis.Redis, rounds: Rounds) -> None:
    """Let the rows of all jobs that have ended be moved; the service may be at it too."""
    rounds.run()
    eventually(lambda: client.zcard(keys.UNARCHIVED) == 0)


def keys_of(client: redis.Redis, job_id: str) -> set[str]:
    return {name.decode().split(":")[1] for name in client.scan_iter(f"*{job_id}*")}


def harmed(storage: Storage, file: Path, harm: str) -> str:
    """Harm a file, and return what is said of it then."""
    content = bytearray(file.read_bytes())
    content[1000] ^= 1
    name = f"the file {file.relative_to(storage.root)!s} in the storage"
    if harm == "missing":
        file.unlink()
        return f"{name} is missing"
    content = content if harm == "damaged" else content[:-100]
    file.write_bytes(content)
    return f"{name} is damaged: its SHA-256 is not "


def refusal(answer: httpx.Response) -> str:
    """Return what an answer says of a file, without the checksum."""
    assert answer.status_code == 500
    assert answer.json()["code"] == "archive_unreadable"
    return re.sub("[0-9a-f]{64}$", "", str(answer.json()["detail"]))
