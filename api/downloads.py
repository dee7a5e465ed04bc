"""Answers that are long: who does not go on reading is cut off, as a stream's client is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from api.streams.line import Line


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
