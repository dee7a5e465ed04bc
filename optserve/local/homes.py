"""The home of a local stack: who holds it, and where its service is."""

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
"""Seconds the processes of a stack that was killed get to end, before another one starts."""
LOOK_S = 0.1


class HomeTaken(StackError):
    """Another process holds the home."""


@contextlib.contextmanager
def held(home: Path, stopping: threading.Event, *, wait_s: float = LEFTOVERS_S) -> Iterator[int]:
    """
    Hold *home* alone; give the descriptor that all processes of a stack on it must hold.

    One lock says that a stack runs. The other one lasts until the last of its processes has
    ended, so that a new server never opens the files that an old one still writes.

    Args:
        home: of the stack.
        stopping: once set, nothing is waited for.
        wait_s: seconds for which the processes of an earlier stack are waited for.

    Raises:
        HomeTaken: a stack runs on it, or processes of an earlier one do.
        StackError: it is no folder to write to.
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
    with own, shared:
        if not _lock(own.fileno()):
            where = url_of(home) or "a URL of its own"
            raise HomeTaken(f"a stack already runs on {home}, at {where}")
        deadline = time.monotonic() + wait_s
        while not _lock(shared.fileno()):
            if time.monotonic() > deadline or stopping.wait(LOOK_S):
                raise HomeTaken(f"processes of an earlier stack on {home} have not ended yet")
        yield shared.fileno()


def _check_name(home: Path) -> None:
    """Refuse a name that is no text: files in it could be written, and not all be read again."""
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
