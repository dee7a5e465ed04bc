"""
How the functions on the Redis server are called (`store.redis.library` is their source).

A `Call` says what to send and how to read the reply; `store.jobs.calls` makes them, `send` runs
one. A call may be repeated: a second one with the same arguments changes nothing.

A process that finds the functions of its release missing loads them: a server that was emptied, or
restored from a snapshot, has none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import redis
import redis.asyncio
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError

from store.errors import RecordTooNew, RecordUnreadable
from store.redis.constants import FORMAT, TOO_NEW
from store.redis.library import library, library_name

log = logging.getLogger(__name__)

T = TypeVar("T")

WRONG_TYPE = "WRONGTYPE"
"""How the server's error begins where something else stands in place of a record."""


class Unwritable(redis.RedisError):
    """The server answers, but cannot write: its memory or disk is full, or it is a replica."""


class FunctionsMissing(redis.RedisError):
    """The server has not got the functions of this release, and this user may not load them."""


LOST = "the store has lost the functions of this release: they are loaded again"
UNWRITABLE = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN")
"""What such a server's answer begins with."""
# A server that still reads its file says LOADING, which redis-py raises as a ConnectionError. It
# raises a wrong password as one, too: `store.redis.waiting` has to look for that first.
UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, Unwritable, FunctionsMissing)
"""What may pass by itself: the same call, sent again later, may succeed."""


class Fenced(Exception):
    """The job was taken from this worker: nothing that it computes counts any more."""


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
        # No key is declared (the 0): a function derives its keys from tenant and id. Only a cluster
        # would need them, and the promises are those of one primary.
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
        # Several processes find this at the same time. All of them load; the server takes one, and
        # `_load_told` passes over the answer that the others get.
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
    # The server adds where a function failed: ``TOONEW 3 script: on @user_function:2.``
    if kind == TOO_NEW:
        return RecordTooNew(rest.split(" ", 1)[0], FORMAT)
    return RecordUnreadable(text)


@contextmanager
def _load_told() -> Iterator[None]:
    """Raise what it means that functions cannot be loaded; ignore that they are loaded already."""
    try:
        yield
    # A subclass of ResponseError, so it has to come first.
    except NoPermissionError as error:
        raise FunctionsMissing(f"the store lacks the functions of this release ({error})") from None
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise


def is_missing(error: redis.ResponseError) -> bool:
    """Return whether the server says that it has no such function."""
    # It has no code of its own, only ERR, which redis-py strips: the text is all there is.
    return "Function not found" in str(error)


def cannot_write(error: redis.ResponseError) -> bool:
    """Return whether the server says that it cannot write now, whatever the call was."""
    # redis-py has classes for some of these errors, and strips the word from their text.
    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    return str(error).split(" ", 1)[0] in UNWRITABLE
