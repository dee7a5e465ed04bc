"""Answers that are long: streamed, and broken off rather than ended short."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from fastapi.responses import FileResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.streams.line import Line
from jobs.errors import StorageUnavailable
from jobs.storage_pool import OpenFile

log = logging.getLogger(__name__)


class _Stalled(Exception):
    """The client has taken nothing for too long."""


class Download(StreamingResponse):
    """
    An answer whose client must go on reading.

    Args:
        parts: of the body.
        media_type: of the body.
        headers: further ones.
        stall_s: for how long the client may take nothing, in seconds.
    """

    def __init__(
        self,
        parts: AsyncIterator[bytes],
        *,
        media_type: str,
        headers: Mapping[str, str],
        stall_s: float,
    ) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, or cut the connection."""
        line: Line | None = scope.get("state", {}).get("line")
        if line is not None:
            line.watch()

        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._stall_s):
                    await send(message)
            except TimeoutError:
                if line is not None:
                    line.cut()
                await asyncio.sleep(0)  # the server hears of it, and finds nothing amiss
                raise _Stalled from None

        with suppress(_Stalled):
            await super().__call__(scope, receive, in_time)


class FileDownload(FileResponse):
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
