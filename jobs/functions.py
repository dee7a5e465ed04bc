"""
Functions on the Redis server, and how they are called.

A `Call` says what to send and how to read the reply; `jobs.calls` makes them, `send` runs one. A
call may be repeated: a second one with the same arguments changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Generic, TypeVar

import redis
import redis.asyncio
from redis.exceptions import OutOfMemoryError, ReadOnlyError

from jobs.keys import TEMPLATES

T = TypeVar("T")

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
WAITS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 3_600_000)
"""Classes in which the waits of jobs in the queue are counted: milliseconds at most."""
FILES = (
    *("record", "queue", "views", "moving", "cutting"),  # what the functions below are made of
    *("clients", "workers", "series", "reaper", "keeping", "monitoring"),
)
"""The parts of the library, in ``jobs/lua``, in the order in which they need each other."""


class Unwritable(redis.RedisError):
    """The server answers, but cannot write: its memory or disk is full, or it is a replica."""


UNWRITABLE = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN")
"""What such a server's answer begins with."""
UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, Unwritable)
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
    """One call of a server-side function."""

    name: str
    args: Sequence[object]
    read: Callable[[Any], T]

    @property
    def function(self) -> str:
        """Its name on the server."""
        return f"optserve_{self.name}"


def send(client: redis.Redis, call: Call[T]) -> T:
    """
    Send *call* and return what it says.

    Raises:
        ConnectionError: redis-py's; the server did not answer, and may have done it or not.
        TimeoutError: redis-py's; likewise.
        Unwritable: the server did nothing.
    """
    with _unwritable_told():
        return call.read(client.fcall(call.function, 0, *call.args))


async def send_async(client: redis.asyncio.Redis, call: Call[T]) -> T:
    """Send *call* and return what it says, as `send` does, without holding up a thread."""
    untyped: Any = client  # its arguments are text to it
    with _unwritable_told():
        return call.read(await untyped.fcall(call.function, 0, *call.args))


@contextmanager
def _unwritable_told() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        if cannot_write(error):
            raise Unwritable(str(error)) from None
        raise


def cannot_write(error: redis.ResponseError) -> bool:
    """Return whether the server says that it cannot write now, whatever the call was."""
    # The client has classes for some of these, and cuts the word off the text of those.
    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    return str(error).split(" ", 1)[0] in UNWRITABLE


@cache
def library() -> str:
    """Return the source of the functions, with keys, limits and version filled in."""
    return _without_version().replace("@VERSION@", version())


@cache
def version() -> str:
    """Return the version of the functions that this code calls."""
    return hashlib.sha256(_without_version().encode()).hexdigest()


@cache
def _without_version() -> str:
    folder = resources.files("jobs") / "lua"
    source = "\n".join(folder.joinpath(f"{name}.lua").read_text() for name in FILES)
    table = ", ".join(f"{name} = {json.dumps(template)}" for name, template in TEMPLATES.items())
    filled = {
        "@KEYS@": f"{{{table}}}",
        "@CHUNK_ROWS@": str(CHUNK_ROWS),
        "@MAX_CRASHES@": str(MAX_CRASHES),
        "@RING_AFTER_MS@": str(RING_AFTER_MS),
        "@CHECKPOINTS_KEPT@": str(CHECKPOINTS_KEPT),
        "@WAITS_MS@": f"{{{', '.join(map(str, WAITS_MS))}}}",
    }
    for mark, value in filled.items():
        source = source.replace(mark, value)
    return source
