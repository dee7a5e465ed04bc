"""The home of a local stack: the locks on it, and the URL of the service that runs on it."""

from __future__ import annotations

import contextlib
import fcntl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from optserve.client import Client
from optserve.client.errors import BadAddress
from optserve.local.errors import StackError

LEFTOVERS_S = 20.0
"""How long to wait for the processes of a killed stack before another one may start."""
POLL_S = 0.1


class HomeLocked(StackError):
    """Another process has locked the home."""


@contextlib.contextmanager
def locked(home: Path, stopping: threading.Event, *, wait_s: float = LEFTOVERS_S) -> Iterator[int]:
    """
    Lock *home*; give the file descriptor that every process of a stack on it must inherit.

    There are two locks. The stack's own process has the first. Every process of the stack shares
    the second, which therefore lasts until the last of them has ended: a new server never opens
    files that an old one still writes.

    Args:
        home: of the stack.
        stopping: once set, the wait ends.
        wait_s: how long to wait for the processes of an earlier stack.

    Raises:
        HomeLocked: a stack runs on it, or processes of an earlier one do.
        StackError: it is not a writable folder.
    """
    _check_name(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        own, shared = (home / "lock").open("w"), (home / "processes.lock").open("w")
    except OSError as error:
        raise StackError(
            f"--home (OPTSERVE_HOME) must be a directory to write to, got {str(home)!r}: "
            f"{error.strerror}"
        ) from None
    # Closing a file releases its lock, also when this process is killed; a file with a pid in it
    # would have to be checked for being stale.
    with own, shared:
        # First: a stack that runs holds both, and there is no use in waiting for it. The second
        # alone is locked by what a killed stack has left, which ends soon.
        if not _lock(own.fileno()):
            where = url_of(home) or "a URL of its own"
            raise HomeLocked(f"a stack already runs on {home}, at {where}")
        deadline = time.monotonic() + wait_s
        while not _lock(shared.fileno()):
            if time.monotonic() > deadline or stopping.wait(POLL_S):
                raise HomeLocked(f"processes of an earlier stack on {home} have not ended yet")
        yield shared.fileno()


def _check_name(home: Path) -> None:
    """Refuse a name that is not UTF-8: some libraries could not open files in it."""
    try:
        str(home.resolve()).encode()
    except UnicodeEncodeError:
        raise StackError(
            f"--home (OPTSERVE_HOME) must be a path in UTF-8, got {str(home)!r}"
        ) from None


def url_of(home: Path) -> str | None:
    """Return the URL of the stack that runs on *home*, or None."""
    try:
        url = (home / "url").read_text()
        # A stack that was killed leaves this file behind, so its URL is tried.
        with Client(url) as client:
            return url if client.ready() else None
    except (OSError, UnicodeDecodeError, BadAddress):
        return None


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
