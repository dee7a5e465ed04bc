"""
File access from an event loop: each call runs in a thread of a pool, with a time limit.

A mount that hangs blocks every thread that accesses a file on it, even if only to get the file's
size. So every request accesses the storage through a `StoragePool`.

When the time limit of a call is over, the request fails, and the thread of the call stays blocked.
Once all threads of the pool are blocked, further calls fail at once. Requests that need no file
never wait.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from typing import BinaryIO, ParamSpec, TypeVar

from store.errors import StorageUnavailable
from store.storage.storage import Storage
from store.storage.threads import Saturated, Threads
from store.storage.usable import FULL

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT_S = 20.0
"""Seconds that a request waits for a small file."""
SLOWEST = 10 * 2**20
"""Minimum speed of a working storage in bytes per second; sets the time limit for large files."""
READS = 16
"""Maximum number of calls that read at the same time."""
COPIES = 4
"""Maximum number of calls that copy at the same time; they may take minutes, and have threads of
their own so that reads do not wait for them."""
MAX_WAITING = 256
"""Maximum number of calls that wait for a thread; further calls fail at once."""


class StoragePool:
    """
    Gives an event loop access to the storage.

    Args:
        storage: the storage to access; its files are accessed in the pool's threads only.
        timeout_s: the time limit in seconds for a call that accesses a small file.
    """

    def __init__(self, storage: Storage, *, timeout_s: float = TIMEOUT_S) -> None:
        self.storage, self._timeout_s = storage, timeout_s
        self._reads = Threads(READS, max_waiting=MAX_WAITING)
        self._copies = Threads(COPIES, max_waiting=MAX_WAITING)

    @property
    def given_up(self) -> int:
        """Number of calls that exceeded their time limit and still hang."""
        return self._reads.given_up + self._copies.given_up

    async def read(
        self, path: str, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function*, which reads a file, in a thread; return its result.

        Args:
            path: the path of the file, for error messages.
            size: the maximum number of bytes that *function* reads. More bytes get more time.
            function: the function to call.
            args: the arguments for *function*.
            kwargs: the keyword arguments for *function*.

        Raises:
            FileNotFoundError: the storage is mounted, but has no such file.
            StorageUnavailable: the time limit is over, no thread is available, or the storage
                returned another error.
        """
        limit_s = self._limit_s(size)
        late = f"could not be read within {limit_s:.3g} s"
        return await self._called(path, limit_s, late, self._reads.run(function, *args, **kwargs))

    async def copy(
        self, path: str, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Call *function*, which copies the files at *path*, in a thread; return its result.

        The arguments and errors are those of `read`. A full storage raises an OSError.
        """
        limit_s = self._limit_s(size)
        late = f"could not be copied within {limit_s:.3g} s"
        return await self._called(path, limit_s, late, self._copies.run(function, *args, **kwargs))

    async def open(self, path: str) -> OpenFile:
        """Return an open file that can be read in parts; raise the same errors as `read`."""
        file, found = await self.read(path, 0, _opened, self.storage, path)
        return OpenFile(self, path, file, found)

    def _limit_s(self, size: int) -> float:
        return self._timeout_s + size / SLOWEST

    async def _called(self, path: str, limit_s: float, late: str, call: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await call
        except TimeoutError:
            why = late
        except Saturated:
            why = "was not read: earlier calls to the storage have not returned"
        except FileNotFoundError:
            # An unmounted storage looks like an empty folder: the file may exist in the real one.
            if await self.read(path, 0, _is_there, self.storage):
                raise
            why = "cannot be used: the storage is not mounted"
        except OSError as error:
            if error.errno in FULL:
                raise
            why = f"cannot be used now: {error.strerror or error}"
        raise StorageUnavailable(path, why)


class OpenFile:
    """
    An open file in the storage, read in parts, each with its own time limit.

    Attributes:
        path: the path of the file, below the storage root.
        stat: the file's status (size, times), as from `os.fstat`.
    """

    def __init__(
        self, pool: StoragePool, path: str, file: BinaryIO, stat_result: os.stat_result
    ) -> None:
        self.path, self.stat = path, stat_result
        self._pool, self._file, self._position = pool, file, 0

    async def seek(self, position: int) -> None:
        """Let the next `read` start at *position*, in bytes."""
        self._position = position

    async def read(self, size: int) -> bytes:
        """Return the next *size* bytes, or fewer at the end of the file."""
        part = await self._pool.read(self.path, size, _part, self._file, self._position, size)
        self._position += len(part)
        return part

    def close(self) -> None:
        """Close the file in a separate thread, since closing may hang if a read hangs."""
        threading.Thread(target=self._file.close, daemon=True).start()


def _opened(storage: Storage, path: str) -> tuple[BinaryIO, os.stat_result]:
    try:
        file = storage.open(path)
    except IsADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, "the path is a folder", path) from error
    # Of the open file: at the path, there may soon be no file any more.
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "not a regular file", path)
    return file, found


def _part(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _is_there(storage: Storage) -> bool:
    """Return whether the storage is mounted: an unmounted storage lacks the file ``store``."""
    return storage.named
