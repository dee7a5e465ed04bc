"""
All checks, in order: of files, which need nothing, and of the store, which must run for them.

A further check is a function beside its like in this folder, and a name in one of the lists here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis

from optserve.client.addresses import redact
from optserve.local import homes
from optserve.local.doctor import aof, folders, jobs, store
from optserve.local.doctor.findings import Examined, Finding
from optserve.local.embedded import EmbeddedServer, url_of
from optserve.local.errors import StackError
from optserve.local.settings import settings_of
from optserve.local.valkey import ServerError
from store.redis.connect import connect
from store.storage.artifacts import Storage

ANSWER_S = 10.0
"""Seconds that the store gets to answer."""
FileCheck = Callable[[Examined], Iterator[Finding]]
StoreCheck = Callable[[Examined, redis.Redis], Iterator[Finding]]

FILES: Sequence[FileCheck] = (
    folders.check_writable,
    folders.check_readable,
    folders.check_room,
    folders.check_private,
    folders.check_url,
    aof.check_files,
)
STORE: Sequence[StoreCheck] = (
    store.check_settings,
    store.check_functions,
    store.check_storage,
    store.check_set_aside,
    jobs.check_members,
    jobs.check_running,
    jobs.check_records,
    jobs.check_archives,
    jobs.check_checkpoints,
)


def examine(home: Path, *, repair: bool) -> Iterator[Finding]:
    """
    Yield what each check finds, one after another: a repair is made before the next one looks.

    Args:
        home: of a local stack.
        repair: whether repairs will be made, which is refused while a stack runs.

    Raises:
        StackError: the home cannot be looked at, or not be repaired now.
    """
    if not home.is_dir():
        raise StackError(f"--home (OPTSERVE_HOME) must be the folder of a stack, got {str(home)!r}")
    settings = settings_of(home=home.resolve())
    with contextlib.ExitStack() as held:
        hold: int | None = None
        try:
            hold = held.enter_context(homes.held(home, threading.Event(), wait_s=0))
        except homes.HomeTaken as taken:
            if repair:
                raise StackError(f"{taken}: end it before --repair") from None
            yield Finding("stack", str(taken))
        else:
            yield Finding("stack", f"none runs on {home}")
        examined = Examined(home.resolve(), settings, running=hold is None)
        for look in FILES:
            yield from look(examined)
        with contextlib.ExitStack() as connected:
            try:
                client = connected.enter_context(_store(examined, hold))
            except NotThere as reason:
                yield reason.finding
                return
            yield from _looked_into(examined, client)


def _looked_into(examined: Examined, client: redis.Redis) -> Iterator[Finding]:
    for look in STORE:
        try:
            yield from look(examined, client)
        except redis.RedisError as error:
            subject = look.__name__.removeprefix("check_")
            yield Finding(f"store: {subject}", f"it refuses: {error}", "see its log")


class NotThere(Exception):
    """
    There is no store to look into.

    Attributes:
        finding: says why.
    """

    def __init__(self, said: str, todo: str = "") -> None:
        super().__init__(said)
        self.finding = Finding("store", said, todo)


@contextlib.contextmanager
def _store(examined: Examined, hold: int | None) -> Iterator[redis.Redis]:
    """Give a client of the store: of the one that runs, else of an embedded one, for a moment."""
    url = examined.settings.redis_url and examined.settings.store_url
    with contextlib.ExitStack() as running:
        if url is None and hold is not None:
            if not (examined.data / aof.FOLDER).is_dir():
                storage = Storage(examined.settings.storage_dir)
                if storage.named:
                    raise NotThere(
                        f"its files are gone, and {storage.root} has those of its jobs",
                        f"mount or restore {examined.data}: the next start would begin anew",
                    )
                raise NotThere("it has not been used yet")
            try:
                server = running.enter_context(EmbeddedServer(examined.home, holds=[hold]))
            except ServerError as error:
                if all(finding.ok for finding in aof.check_files(examined)):
                    raise NotThere(str(error).splitlines()[0], aof.RESTORE) from None
                raise NotThere("not looked at: its files come first") from None
            url = server.url
        elif url is None:
            url = url_of(examined.home)
        if url is None:
            raise NotThere("not looked at: it is not the stack's own; set REDIS_URL to it")
        client = running.enter_context(connect(url, timeout_s=ANSWER_S, connect_timeout_s=ANSWER_S))
        try:
            client.ping()
        except redis.RedisError as error:
            raise NotThere(
                f"the Redis server at {redact(url)} does not answer: {error}", "start it"
            ) from None
        yield client
