"""The home of a local stack (the folder with its files): its locks, and the service's URL."""

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
"""Seconds for which a new stack waits for the processes of a killed stack to end."""
POLL_S = 0.1


class HomeLocked(StackError):
    """A stack already runs in the home, or processes of an earlier stack have not ended yet."""


@contextlib.contextmanager
def locked(home: Path, stopping: threading.Event, *, wait_s: float = LEFTOVERS_S) -> Iterator[int]:
    """
    Lock *home*; yield the file descriptor that every process of its stack must keep open.

    There are two locks. The process that runs the stack has the first lock. All processes of the
    stack share the second lock, through the file descriptor.

    The second lock lasts until the last of these processes has ended. So a new server never opens
    files that an old server still writes.

    Args:
        home: the home of the stack: the folder with its files.
        stopping: event that ends the wait once it is set.
        wait_s: seconds to wait for the processes of an earlier stack.

    Raises:
        HomeLocked: a stack runs in *home*, or processes of an earlier stack have not ended yet.
        StackError: *home* is not a writable folder, or its path is not UTF-8.
    """
    _check_name(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        own, shared = (home / "lock").open("w"), (home / "processes.lock").open("w")
    except OSError as error:
        raise StackError(
            f"--home (OPTSERVE_HOME) must be a writable directory, got {str(home)!r}: "
            f"{error.strerror}"
        ) from None
    # Closing a file releases its lock, also when this process is killed; a file with a pid in it
    # might be stale, and would have to be checked.
    with own, shared:
        # Not waited for: a running stack has both locks, and does not end soon. If only the second
        # is locked, the processes of a killed stack have not ended yet, and will soon.
        if not _lock(own.fileno()):
            where = url_of(home) or "an unknown URL"
            raise HomeLocked(f"a stack already runs on {home}, at {where}")
        deadline = time.monotonic() + wait_s
        while not _lock(shared.fileno()):
            if time.monotonic() > deadline or stopping.wait(POLL_S):
                raise HomeLocked(
                    f"processes of an earlier stack on {home} have not ended yet; try again later"
                )
        yield shared.fileno()


def _check_name(home: Path) -> None:
    """Raise StackError if the path of *home* is not UTF-8; some libraries need UTF-8."""
    try:
        str(home.resolve()).encode()
    except UnicodeEncodeError:
        raise StackError(
            f"--home (OPTSERVE_HOME) must be a path in UTF-8, got {str(home)!r}"
        ) from None


def url_of(home: Path) -> str | None:
    """Return the URL of the stack that runs in *home*; None if no stack is ready there."""
    try:
        url = (home / "url").read_text()
        # A stack that was killed leaves this file behind, so the file alone does not show that a
        # stack runs.
        with Client(url) as client:
            return url if client.ready() else None
    except (OSError, UnicodeDecodeError, BadAddress):
        return None


def _lock(descriptor: int) -> bool:
    try:
        # A lock of lockf belongs to one process. That of flock belongs to the open file, which all
        # processes of a stack have.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
