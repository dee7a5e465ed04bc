"""Middleware that counts requests by the template of their path, never by the path itself."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.monitoring.process_metrics import OTHER, ProcessMetrics


class CountedRequests:
    """
    Middleware that counts every request and measures its duration.

    For a stream, the measured duration ends when the response begins.

    Args:
        app: the application that gets the requests.
        metrics: list with the metrics of this process; empty until the application has started.
    """

    def __init__(self, app: ASGIApp, *, metrics: list[ProcessMetrics]) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count the request."""
        if scope["type"] != "http" or not self._metrics:
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status, counted = 500, False  # 500 if the application raises before it responds

        def count() -> None:
            nonlocal counted
            if counted:
                return
            counted = True
            self._metrics[0].answered(
                method=scope["method"],
                # The router sets the route: a request for an unknown path has none, nor has a
                # request that was refused before.
                route=getattr(scope.get("route"), "path", OTHER),
                status=status,
                seconds=time.perf_counter() - start,
            )

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # A stream lasts for up to an hour: its duration would say nothing about latency.
                kind = dict(message.get("headers", ())).get(b"content-type", b"")
                if kind.startswith(b"text/event-stream"):
                    count()
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            count()
