"""A bare server that sends prepared events: the cost of sending as many bytes as often."""

from __future__ import annotations

import asyncio
import sys
import time

import uvicorn
from starlette.types import Receive, Scope, Send


def serve(port: int, every_s: float, size: int, groups: int) -> None:
    """Serve clients in *groups* groups; each group gets an event every *every_s* seconds."""
    news = [asyncio.Event() for _ in range(groups)]
    numbers = [0] * groups
    events = [b""] * groups

    async def tick() -> None:
        while True:
            for i in range(groups):
                await asyncio.sleep(every_s / groups)
                row = f'event: rows\ndata: {{"rows":[[{numbers[i]},0.001,{time.time()}],'
                name = f"]}}\nid: {numbers[i]}\n\n"
                events[i] = (row + " " * max(0, size - len(row) - len(name)) + name).encode()
                numbers[i] += 1
                news[i].set()
                news[i].clear()

    ticking: list[asyncio.Task[None]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            return
        if not ticking:
            ticking.append(asyncio.create_task(tick()))
        mine = int(scope["path"][1:])
        kind = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": kind})
        while True:
            await news[mine].wait()
            await send({"type": "http.response.body", "body": events[mine], "more_body": True})

    uvicorn.run(
        app, port=port, loop="uvloop", http="httptools", log_level="critical", lifespan="off"
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
