"""
Calls the Lua functions on the Redis server; `store.redis.library` builds their source.

A `Call` holds the arguments to send, and a function that reads the reply. The functions in
`store.jobs.calls` create calls, and `send` sends them. A call may be sent again with the same
arguments, after a lost reply for example: the second call changes nothing.

The server may lack the functions of this release, because it was emptied or restored from a
snapshot. A process that notices the lack loads the functions again.
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
"""Prefix of the server's error for a key that holds something other than a record."""


class Unwritable(redis.RedisError):
    """The server responds, but cannot write: its memory or disk is full, or it is a replica."""


class FunctionsMissing(redis.RedisError):
    """The server lacks the Lua functions of this release; this Redis user may not load them."""


LOST = "the store has lost the Lua functions of this release: this process loads them again"
UNWRITABLE = ("OOM", "READONLY", "MISCONF", "NOREPLICAS", "MASTERDOWN")
"""Prefixes of the errors from a server that cannot write."""
# A server that is still loading its data replies LOADING, which redis-py raises as a
# ConnectionError. redis-py also raises one for a wrong password: `store.redis.waiting` has to check
# for that first.
UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, Unwritable, FunctionsMissing)
"""Errors that may be temporary: the same call, sent again later, may succeed."""


class Fenced(Exception):
    """The job was taken from this worker: the store rejects its further writes for the job."""


class Gap(Exception):
    """
    Rows are missing between those that are stored and those that were sent.

    Attributes:
        rows: the number of rows that are stored.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(f"the store has only {rows} rows of the job, and was sent later rows")
        self.rows = rows


class ReplayDiffers(Exception):
    """
    A step was computed again, and its result differs from the stored one.

    Attributes:
        step: the number of the step.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"step {step} was computed again and differs from what was stored")
        self.step = step


@dataclass(frozen=True)
class Call(Generic[T]):
    """
    A call of a Lua function on the Redis server.

    Attributes:
        name: the name of the function, without the name of the library.
        args: the arguments of the function.
        read: a function that converts the reply to the call's result.
        reads_only: whether the function changes nothing. Such a function can run on a replica, and
            on a server whose disk is full.
    """

    name: str
    args: Sequence[object]
    read: Callable[[Any], T]
    reads_only: bool = False

    @property
    def function(self) -> str:
        """Name of the function on the server."""
        return f"{library_name()}_{self.name}"

    @property
    def command(self) -> tuple[object, ...]:
        """The Redis command to send, as its name and arguments."""
        # As bytes: of any other argument, redis-py checks the type five times.
        args = (arg.encode() if isinstance(arg, str) else arg for arg in self.args)
        # No key is declared (the 0): a function derives its keys from tenant and id. Only a Redis
        # cluster needs declared keys, and this service requires a single primary.
        return ("FCALL_RO" if self.reads_only else "FCALL", self.function, 0, *args)


def send(client: redis.Redis, call: Call[T]) -> T:
    """
    Send *call* and return its result; load the Lua functions if the server has lost them.

    After a ConnectionError or a TimeoutError it is not known whether the server has executed the
    call. After the other errors, it has not.

    Raises:
        redis.ConnectionError: the connection failed.
        redis.TimeoutError: the server did not reply in time.
        Unwritable: the server cannot write.
        FunctionsMissing: the server lacks the functions, and this Redis user may not load them.
        RecordTooNew: a newer release has written the job's record.
        RecordUnreadable: the key of the job's record does not hold a record.
    """
    untyped: Any = client  # half of its methods are
    with _errors_told():
        try:
            return call.read(untyped.execute_command(*call.command))
        except redis.ResponseError as error:
            if not is_missing(error):
                raise
        log.warning(LOST)
        # Several processes notice this at the same time, and all of them load the functions. The
        # server accepts the first; `_load_told` ignores the error that the others get.
        load(client)
        return call.read(untyped.execute_command(*call.command))


def load(client: redis.Redis) -> None:
    """
    Load the functions of this release; do nothing if the server has them already.

    Raises:
        FunctionsMissing: this Redis user may not load them.
    """
    with _load_told():
        client.function_load(library())


async def send_async(client: redis.asyncio.Redis, call: Call[T]) -> T:
    """Send *call* and return its result, like `send`, but without blocking a thread."""
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
    """Return the exception for *text*, a server error about a job's record."""
    kind, _, rest = text.partition(" ")
    # The server appends where the function failed: ``TOONEW 3 script: on @user_function:2.``
    if kind == TOO_NEW:
        return RecordTooNew(rest.split(" ", 1)[0], FORMAT)
    return RecordUnreadable(text)


@contextmanager
def _load_told() -> Iterator[None]:
    """
    Raise `FunctionsMissing` if this user may not load functions.

    Ignore the server's error that the functions are loaded already.
    """
    try:
        yield
    # NoPermissionError is a subclass of ResponseError, so it has to come first.
    except NoPermissionError as error:
        raise FunctionsMissing(
            "the Redis server lacks the Lua functions of this release, and this Redis user may not "
            f"load them ({error}); allow the user FUNCTION LOAD (ACL: +function|load)"
        ) from None
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise


def is_missing(error: redis.ResponseError) -> bool:
    """Return whether *error* means that the server does not have the called function."""
    # The error has no code of its own, only ERR, which redis-py strips: only the text identifies
    # it.
    return "Function not found" in str(error)


def cannot_write(error: redis.ResponseError) -> bool:
    """Return whether *error* means that the server cannot write now, whatever the call was."""
    # redis-py has classes for some of these errors, and strips the prefix from their text.
    if isinstance(error, OutOfMemoryError | ReadOnlyError):
        return True
    return str(error).split(" ", 1)[0] in UNWRITABLE
