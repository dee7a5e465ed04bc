"""
All checks in order: first the checks of files, then those that need a running store.

To add a check, write a function in this folder and add its name to one of the two lists below.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis

from optserve.client.addresses import redact
from optserve.local import homes
from optserve.local.doctor import aof, folders, jobs, packages, store
from optserve.local.doctor.findings import Finding, Home
from optserve.local.embedded import EmbeddedServer, url_of
from optserve.local.errors import StackError
from optserve.local.settings import settings_of
from optserve.local.valkey import ServerError
from store.redis.connect import connect
from store.storage.storage import Storage

ANSWER_S = 10.0
"""Maximum seconds to wait for a response from the store."""
FileCheck = Callable[[Home], Iterator[Finding]]
StoreCheck = Callable[[Home, redis.Redis], Iterator[Finding]]

FILES: Sequence[FileCheck] = (
    folders.check_writable,
    folders.check_readable,
    folders.check_space,
    folders.check_private,
    folders.check_url,
    packages.check_packages,
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


def examine(folder: Path, *, repair: bool) -> Iterator[Finding]:
    """
    Yield the findings of all checks.

    The caller may repair a problem before it takes the next finding.

    Args:
        folder: the home of a local stack.
        repair: whether the caller will repair problems; must be false while a stack runs.

    Raises:
        StackError: *folder* is not a directory, a setting is invalid, or *repair* is true while a
            stack runs.
    """
    if not folder.is_dir():
        raise StackError(
            f"--home (OPTSERVE_HOME) must be the folder of a stack, got {str(folder)!r}"
        )
    settings = settings_of(home=folder.resolve())
    with contextlib.ExitStack() as lock:
        lock_fd: int | None = None
        try:
            lock_fd = lock.enter_context(homes.locked(folder, threading.Event(), wait_s=0))
        except homes.HomeLocked as locked:
            if repair:
                raise StackError(f"{locked}: stop the stack before using --repair") from None
            yield Finding("stack", str(locked))
        else:
            yield Finding("stack", f"no stack runs on {folder}")
        home = Home(folder.resolve(), settings, running=lock_fd is None)
        for check in FILES:
            yield from check(home)
        with contextlib.ExitStack() as connection:
            try:
                client = connection.enter_context(_store(home, lock_fd))
            except NoStore as error:
                yield error.finding
                return
            yield from _check_store(home, client)


def _check_store(home: Home, client: redis.Redis) -> Iterator[Finding]:
    for check in STORE:
        try:
            yield from check(home, client)
        # An external server may not allow this user a command; the other checks can still be made.
        except redis.RedisError as error:
            subject = check.__name__.removeprefix("check_")
            yield Finding(
                f"store: {subject}",
                f"the server refused a command: {error}",
                "see the server's log",
            )


class NoStore(Exception):
    """
    The store cannot be checked.

    Attributes:
        finding: the finding that gives the reason.
    """

    def __init__(self, message: str, todo: str = "") -> None:
        super().__init__(message)
        self.finding = Finding("store", message, todo)


@contextlib.contextmanager
def _store(home: Home, lock_fd: int | None) -> Iterator[redis.Redis]:
    """
    Yield a client for the store.

    An embedded server that does not run is started for the checks, and stopped after them.

    Raises:
        NoStore: the store cannot be checked.
    """
    url = home.settings.redis_url and home.settings.store_url
    with contextlib.ExitStack() as running:
        if url is None and lock_fd is not None:
            if not (home.data / aof.FOLDER).is_dir():
                storage = Storage(home.settings.storage_dir)
                if storage.named:
                    raise NoStore(
                        f"the store's files are missing, but {storage.root} has files of jobs",
                        f"mount or restore {home.data}; "
                        "otherwise the next start creates an empty store",
                    )
                raise NoStore("the store has not been used yet")
            try:
                # The server inherits the lock: if this process is killed, no stack starts on files
                # that the server still has open.
                server = running.enter_context(EmbeddedServer(home.folder, inherited_fds=[lock_fd]))
            except ServerError as error:
                # The tool does not check the names of commands: a file that it finds complete may
                # have a command that no server knows. Truncating cannot repair that.
                if all(finding.ok for finding in aof.check_files(home)):
                    raise NoStore(str(error).splitlines()[0], aof.RESTORE) from None
                raise NoStore("not checked: the server's files must be repaired first") from None
            url = server.url
        elif url is None:
            url = url_of(home.folder)
        if url is None:
            raise NoStore("not checked: set REDIS_URL to the URL of the stack's external server")
        client = running.enter_context(connect(url, timeout_s=ANSWER_S, connect_timeout_s=ANSWER_S))
        try:
            client.ping()
        except redis.RedisError as error:
            raise NoStore(
                f"the Redis server at {redact(url)} does not answer: {error}", "start the server"
            ) from None
        yield client
