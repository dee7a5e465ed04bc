"""
Checks of the store.

They cover the Redis server's settings, the Lua functions loaded in it, the entries that the service
could not handle and set aside, and whether the files in the storage belong to this store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import redis

from optserve.local.doctor.findings import Finding, Home
from store.errors import StoreUnsafe
from store.jobs import calls
from store.jobs.calls.isolation import SetAside
from store.redis import keys
from store.redis.functions import send
from store.redis.library import library_name
from store.redis.server import check, libraries
from store.storage.names import STORE


def check_settings(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether the server's version and settings make it store accepted jobs durably."""
    try:
        check(client)
    except StoreUnsafe as error:
        message, _, todo = str(error).partition(". ")
        yield Finding("store: settings", message, todo or "use a newer server")
    else:
        yield Finding("store: settings", "the server stores accepted jobs durably")


def check_functions(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Report the releases whose functions are loaded in the store."""
    names = libraries(client)
    message = "the functions of this release " + (
        "are loaded" if library_name() in names else "will be loaded when the service starts"
    )
    others = [name for name in names if name != library_name()]
    others_too = f", besides those of other releases: {', '.join(others)}" if others else ""
    yield Finding("store: functions", message + others_too)


def check_set_aside(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Report each entry that the service could not handle and has set aside."""
    members = send(client, calls.set_aside_members())
    for each in members:
        message = (
            f"{each.member} has not been handled since {each.since:%Y-%m-%d %H:%M}: {each.why}"
        )
        todo = "fix the cause; --repair clears this entry until the service tries again and fails"
        yield Finding(f"set aside: {each.kind}", message, todo, _forgets(client, each))
    if not members:
        yield Finding("set aside", "nothing")


def _forgets(client: redis.Redis, aside: SetAside) -> Callable[[], str]:
    def forget() -> str:
        send(client, calls.put_back(aside.kind, aside.member))
        return f"{aside.kind} {aside.member} is no longer set aside"

    return forget


def check_storage(home: Home, client: redis.Redis) -> Iterator[Finding]:
    """Check whether the files in the storage belong to this store."""
    file = home.settings.storage_dir / STORE
    known = client.get(keys.STORE_ID)
    subject = "storage: name"
    try:
        name = file.read_bytes()
    except FileNotFoundError:
        if client.exists(keys.STORAGE_NAMED):
            message = f"{file.parent} lacks the file that this store wrote there: {file.name}"
            yield Finding(subject, message, "mount the right folder, or restore the file")
        else:
            yield Finding(subject, f"{file.parent} belongs to no store yet")
    except OSError as error:
        yield Finding(subject, f"{file} cannot be read: {error.strerror}", "make it readable")
    else:
        if name == known:
            yield Finding(subject, f"{file.parent} belongs to this store")
        elif not name:
            yield Finding(
                subject, f"{file} is empty, after a full disk; the service will write it again"
            )
        else:
            message = f"{file.parent} belongs to another store, or this store was emptied"
            yield Finding(subject, message, f"check OPTSERVE_STORAGE, or remove {file}")
