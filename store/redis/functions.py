"""
Functions on the Redis server, and how they are called.

A `Call` says what to send and how to read the reply; `store.jobs.calls` makes them, `send` runs
one. A call may be repeated: a second one with the same arguments changes nothing.

Library and functions have the version in their names, so that each release calls its own, however
many releases share a server. A process that finds its own missing loads them: a server that was
emptied, or restored from a snapshot, has none.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Generic, TypeVar

import redis
import redis.asyncio
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError

from optserve.contract.states import State
from store.errors import RecordTooNew, RecordUnreadable
from store.redis.keys import TEMPLATES

log = logging.getLogger(__name__)

T = TypeVar("T")

LEGACY = "optserve"
"""Name of the library of release 0.1.0, and what those of all others begin with."""
LIBRARIES = f"{LEGACY}_"
"""What the names of libraries begin with that tell their version."""
FORMAT = 2
"""
Version of the records that this release writes; it reads those and older ones. A release that
writes something older ones must not touch has the next number.
"""
CHUNK_ROWS = 4096
"""Rows per key of a series."""
MAX_CRASHES = 3
"""Workers that may die of a job, one after another, without a new checkpoint."""
OVERTIME_MS = 60_000
"""Milliseconds a worker gets to save and end a job whose time is over, before it is taken away."""
RING_AFTER_MS = 5_000
"""Milliseconds a job may wait beside an idle worker before the bell is rung again."""
CHECKPOINTS_KEPT = 3
"""Checkpoints of a job that its record points to: the last, and what it may fall back on."""
HISTORY_ENTRIES = 400
"""Entries of a history in the store, about: older ones of a job that goes on move to files."""
TOO_NEW = "TOONEW"
"""How a function's error begins that has found a record of a newer release; its format follows."""
WRONG_TYPE = "WRONGTYPE"
"""How the server's error begins where something else stands in place of a record."""
WAITS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Classes in which the waits of jobs in the queue are counted: milliseconds at most."""
FILES = (
    # What the functions below are made of.
    *(
        "record",
        "isolation",
        "libraries",
        "classes",
        "queue",
        "views",
        "moving",
        "cutting",
        "lists",
    ),
    *("clients", "workers", "series", "reaper", "keeping", "history", "monitoring"),
)
"""The parts of the library, in ``store/redis/lua``, in the order in which they need each other."""


class Unwritable(redis.RedisError):
    """The server answers, but cannot write: its memory or disk is full, or it is a replica."""


class FunctionsMissing(redis.RedisError):
    """The server has not got the functions of this release, and this user may not load them."""


LOST = "the store has lost the functions of this release: they are loaded again"
UNWRITABLE = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN")
"""What such a server's answer begins with."""
UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, Unwritable, FunctionsMissing)
"""What may pass by itself: the same call, sent again later, may succeed."""


class Fenced(Exception):
    """The job was taken from this worker: whatever it computes now belongs to nobody."""


class Gap(Exception):
    """
    Rows are missing before those that were sent.

    Attributes:
        rows: how many the store has.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"the store has {rows} rows and was sent later ones")
        self.rows = rows


class ReplayDiffers(Exception):
    """
    A step was computed again and came out different.

    Attributes:
        step: which.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step} was computed again and differs from what was stored")
        self.step = step


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    One call of a server-side function.

    Attributes:
        name: of the function, without the library's.
        args: of the call.
        read: what its reply says.
        reads_only: whether the function changes nothing, so that a replica can run it, and a server
            whose disk is full.
    """

    name: str
    args: Sequence[object]
    read: Callable[[Any], T]
    reads_only: bool = False

    @property
    def function(self) -> str:
        """Its name on the server."""
        return f"{library_name()}_{self.name}"

    @property
    def command(self) -> tuple[object, ...]:
        """What is sent to the server."""
        return ("FCALL_RO" if self.reads_only else "FCALL", self.function, 0, *self.args)


def send(client: redis.Redis, call: Call[T]) -> T:
    """
    Send *call* and return what it says; load the functions if the server has lost them.

    Raises:
        ConnectionError: redis-py's; the server did not answer, and may have done it or not.
        TimeoutError: redis-py's; likewise.
        Unwritable: the server did nothing.
        FunctionsMissing: the server did nothing, and does not let this user load them.
        RecordTooNew: the server did nothing: a newer release has written the job's record.
        RecordUnreadable: the server did nothing: what stands in place of the record is none.
    """
    untyped: Any = client  # half of its methods are
    with _errors_told():
        try:
            return call.read(untyped.execute_command(*call.command))
        except redis.ResponseError as error:
            if not is_missing(error):
                raise
        log.warning(LOST)
        load(client)
        return call.read(untyped.execute_command(*call.command))


def load(client: redis.Redis) -> None:
    """
    Load the functions of this release, beside those of others; do nothing if they are there.

    Raises:
        FunctionsMissing: the server does not let this user load them.
    """
    with _load_told():
        client.function_load(library())


async def send_async(client: redis.asyncio.Redis, call: Call[T]) -> T:
    """Send *call* and return what it says, as `send` does, without holding up a thread."""
    untyped: Any = client  # as above
    with _errors_told():
        try:
            return call.read(await untyped.execute_command(*call.command))
        except redis.ResponseError as error:
            if not is_missing(error):
                raise
        log.warning(LOST)
        with _load_told():
            await untyped.function_load(library())
        return call.read(await untyped.execute_command(*call.command))


@contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        if cannot_write(error):
            raise Unwritable(str(error)) from None
        if str(error).startswith((TOO_NEW, WRONG_TYPE)):
            raise error_of(str(error)) from None
        raise


def error_of(text: str) -> RecordTooNew | RecordUnreadable:
    """Return what the text of an error about a record means."""
    kind, _, rest = text.partition(" ")
    if kind == TOO_NEW:
        return RecordTooNew(rest.split(" ", 1)[0], FORMAT)
    return RecordUnreadable(text)


@contextmanager
def _load_told() -> Iterator[None]:
    """Raise what it means that the functions cannot be loaded; somebody else may just have."""
    try:
        yield
    except NoPermissionError as error:
        raise FunctionsMissing(f"the store lacks the functions of this release ({error})") from None
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise


def is_missing(error: redis.ResponseError) -> bool:
    """Return whether the server says that it has no such function."""
    return "Function not found" in str(error)


def cannot_write(error: redis.ResponseError) -> bool:
    """Return whether the server says that it cannot write now, whatever the call was."""
    # The client has classes for some of these, and cuts the word off the text of those.
    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    return str(error).split(" ", 1)[0] in UNWRITABLE


@cache
def library() -> str:
    """Return the source of the functions, with keys, limits and version filled in."""
    source = _without_version().replace("@VERSION@", version())
    return source.replace("@LIBRARY@", library_name())


@cache
def library_name() -> str:
    """Return the name of the library on the server: the format it writes, and its version."""
    return f"{LIBRARIES}{FORMAT}_{version()[:12]}"


@cache
def version() -> str:
    """Return the version of the functions that this code calls."""
    return hashlib.sha256(_without_version().encode()).hexdigest()


@cache
def _without_version() -> str:
    folder = resources.files("store.redis") / "lua"
    source = "\n".join(folder.joinpath(f"{name}.lua").read_text() for name in FILES)
    table = ", ".join(f"{name} = {json.dumps(template)}" for name, template in TEMPLATES.items())
    filled = {
        "@KEYS@": f"{{{table}}}",
        "@FORMAT@": str(FORMAT),
        "@TOO_NEW@": TOO_NEW,
        "@LEGACY@": LEGACY,
        "@STATES@": f"{{{', '.join(json.dumps(state) for state in State)}}}",
        "@HISTORY_ENTRIES@": str(HISTORY_ENTRIES),
        "@CHUNK_ROWS@": str(CHUNK_ROWS),
        "@MAX_CRASHES@": str(MAX_CRASHES),
        "@RING_AFTER_MS@": str(RING_AFTER_MS),
        "@CHECKPOINTS_KEPT@": str(CHECKPOINTS_KEPT),
        "@WAITS_MS@": f"{{{', '.join(map(str, WAITS_MS))}}}",
    }
    for mark, value in filled.items():
        source = source.replace(mark, value)
    return source
