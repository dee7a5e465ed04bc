"""A response that streams a file from the storage."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from api.connections.client_connection import connection_of
from store.errors import StorageUnavailable
from store.storage.pool import OpenFile

log = logging.getLogger(__name__)


class Download(FileResponse):
    """
    A response that sends an open file: the whole file, or the requested ranges.

    Starlette would stat and read the file in threads that all requests share. A storage that hangs
    would block these threads. So this class takes the size of the file from *file*, and reads the
    file in parts, in threads that do nothing but access the storage.

    If a part cannot be read, the connection is aborted, so that a client never takes an incomplete
    file for the whole file.

    Args:
        file: the open file; it is closed when the response ends.
        filename: the name that a browser suggests for saving the file.
        media_type: the media type of the file.
        headers: additional headers.
        status_code: the status if the whole file is sent; for a range it is 206.
    """

    # A thread is woken for each part; starlette's 64 KiB would take four times as many wakeups.
    chunk_size = 256 * 1024

    def __init__(
        self,
        file: OpenFile,
        *,
        filename: str,
        media_type: str,
        headers: Mapping[str, str],
        status_code: int = 200,
    ) -> None:
        super().__init__(
            file.path,
            status_code,
            filename=filename,
            media_type=media_type,
            headers=headers,
            stat_result=file.stat,
        )
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or abort the connection if the storage fails."""
        try:
            await super().__call__(scope, receive, send)
        except StorageUnavailable as error:
            log.warning("a download is aborted: %s", error)
            connection = connection_of(scope)
            if connection is None:
                raise
            connection.abort()
        finally:
            self._file.close()

    # Overrides a private method of starlette, which opens the file for whole responses and for
    # ranges.
    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[OpenFile]:  # type: ignore[override]
        yield self._file
