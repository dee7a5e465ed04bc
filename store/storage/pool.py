"""
File calls from an event loop: each in a thread of a pool, and with a time limit.

A mount that hangs holds whatever thread asks it for a file, be it only for the file's size, until
it is back. So every access to the storage on behalf of a request goes through a `StoragePool`: the
request is told when the limit is over, the thread is left behind, and once such calls hold all
threads, further requests are refused at once. What needs no file never waits.
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
"""Seconds that a request waits for a small file to answer."""
SLOWEST = 10 * 2**20
"""Bytes a second of a storage that works: the time limit of a large file grows by its size."""
READS = 16
"""Calls at a time that read."""
COPIES = 4
"""Calls at a time that copy: they may take minutes, and never hold up those that read."""
MAX_WAITING = 256
"""Requests that may wait for one of these threads; more of them are refused."""


class StoragePool:
    """
    The storage, for an event loop.

    Args:
        storage: whose files these are; in the loop nothing but its names is looked at.
        timeout_s: seconds after which a call on a small file is given up.
    """

    def __init__(self, storage: Storage, *, timeout_s: float = TIMEOUT_S) -> None:
        self.storage, self._timeout_s = storage, timeout_s
        self._reads = Threads(READS, max_waiting=MAX_WAITING)
        self._copies = Threads(COPIES, max_waiting=MAX_WAITING)

    @property
    def given_up(self) -> int:
        """Number of hanging calls that were given up."""
        return self._reads.given_up + self._copies.given_up

    async def read(
        self, path: str, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Return what *function* does, which reads.

        Args:
            path: of the file that it needs, for the error.
            size: bytes that it may have to read.
            function: what to call.
            args: for *function*.
            kwargs: for *function*.

        Raises:
            FileNotFoundError: the storage is there, and has no such file.
            StorageUnavailable: it does not answer, or fails in a way that is not the file's.
        """
        limit_s = self._limit_s(size)
        late = f"could not be read within {limit_s:.3g} s"
        return await self._called(path, limit_s, late, self._reads.run(function, *args, **kwargs))

    async def copy(
        self, path: str, size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do the same with a *function* that copies what lies at *path*."""
        limit_s = self._limit_s(size)
        late = f"could not be copied within {limit_s:.3g} s"
        return await self._called(path, limit_s, late, self._copies.run(function, *args, **kwargs))

    async def open(self, path: str) -> OpenFile:
        """Open a file to be read in parts; raises as `read` does."""
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
            why = "was not asked for: earlier calls of the storage have not returned"
        except FileNotFoundError:
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
    A file of the storage that is read in parts, each of them in time.

    Attributes:
        path: below the root.
        stat: what the system says of it.
    """

    def __init__(
        self, pool: StoragePool, path: str, file: BinaryIO, stat_result: os.stat_result
    ) -> None:
        self.path, self.stat = path, stat_result
        self._pool, self._file, self._position = pool, file, 0

    async def seek(self, position: int) -> None:
        """Read on from *position*."""
        self._position = position

    async def read(self, size: int) -> bytes:
        """Return the next bytes, *size* at most; none at its end."""
        part = await self._pool.read(self.path, size, _part, self._file, self._position, size)
        self._position += len(part)
        return part

    def close(self) -> None:
        """Close it in a thread: it may hang behind a read that hangs."""
        threading.Thread(target=self._file.close, daemon=True).start()


def _opened(storage: Storage, path: str) -> tuple[BinaryIO, os.stat_result]:
    try:
        file = storage.open(path)
    except IsADirectoryError as error:
        raise FileNotFoundError(errno.ENOENT, "it is a folder", path) from error
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise FileNotFoundError(errno.ENOENT, "it is no file", path)
    return file, found


def _part(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size)


def _is_there(storage: Storage) -> bool:
    """Return whether it is the service's: a mount that is away is an empty folder, or none."""
    return storage.named
