"""Checks of the store: its settings, its functions, and whose the storage is."""

from __future__ import annotations

from collections.abc import Iterator

import redis

from jobs import keys
from jobs.artifacts import STORE
from jobs.errors import StoreUnsafe
from jobs.server import check, has_functions
from optserve.doctor.findings import Examined, Finding


def check_settings(examined: Examined, client: redis.Redis) -> Iterator[Finding]:
    """Look whether the store keeps what it accepts."""
    del examined
    try:
        check(client)
    except StoreUnsafe as error:
        said, _, todo = str(error).partition(". ")
        yield Finding("store: settings", said, todo or "use a newer server")
    else:
        yield Finding("store: settings", "it keeps what it accepts")


def check_functions(examined: Examined, client: redis.Redis) -> Iterator[Finding]:
    """Look whether the store has the functions of this version."""
    if has_functions(client):
        yield Finding("store: functions", "they are those of this version")
    elif examined.running:
        said = "they are not those of this version"
        yield Finding("store: functions", said, "run one version, and start the stack again")
    else:
        yield Finding("store: functions", "they are loaded with the next start")


def check_storage(examined: Examined, client: redis.Redis) -> Iterator[Finding]:
    """Look whether the files in the storage are those of this store."""
    file = examined.settings.storage_dir / STORE
    known = client.get(keys.STORE_ID)
    subject = "storage: name"
    try:
        name = file.read_bytes()
    except FileNotFoundError:
        yield Finding(subject, f"{file.parent} belongs to no store yet")
    except OSError as error:
        yield Finding(subject, f"{file} cannot be read: {error.strerror}", "see that it can")
    else:
        if name == known:
            yield Finding(subject, f"{file.parent} belongs to this store")
        elif not name:
            said = f"{file} is empty, so that nothing is archived or removed"
            yield Finding(subject, said, "remove it if no other store uses this folder")
        else:
            said = f"{file.parent} belongs to another store, or this one was emptied"
            yield Finding(subject, said, f"see OPTSERVE_STORAGE, or remove {file}")
