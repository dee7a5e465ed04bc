"""Files of the storage as answers: streamed in parts, each read in a thread that may hang."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from api.connections.client_connection import Line
from store.errors import StorageUnavailable
from store.storage.pool import OpenFile

log = logging.getLogger(__name__)


class Download(FileResponse):
    """
    An open file as an answer: whole, or the ranges that are asked for.

    Starlette's, but for how it looks at the file: what it would ask of the system in a thread that
    all share is known already, and its parts come from the file that is open. A part that cannot be
    read breaks the connection: nobody takes what came for the whole.

    Args:
        file: closed in the end.
        filename: under which a browser saves it.
        media_type: of it.
        headers: further ones.
        status_code: where nothing but a range was asked for, it is 206.
    """

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
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        except StorageUnavailable as error:
            log.warning("a download ends before its file does: %s", error)
            line: Line | None = scope.get("state", {}).get("line")
            if line is None:
                raise
            line.cut()
        finally:
            self._file.close()

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[OpenFile]:  # type: ignore[override]
        yield self._file
