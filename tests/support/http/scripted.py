"""A real HTTP server on loopback that answers as a test tells it to, one request after another."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

JOB: dict[str, Any] = {
    "id": "job_1",
    "name": "",
    "labels": {},
    "priority": 0,
    "time_limit_s": None,
    "trained_s": 0.0,
    "stalled_s": 0.0,
    "state": "queued",
    "reason": None,
    "detail": None,
    "outcome": None,
    "requested_action": None,
    "waiting_for": None,
    "queue_position": None,
    "lr_off_plan_at": None,
    "offers": [],
    "bitwise": True,
    "truncations": [],
    "step": 0,
    "total_steps": 4,
    "steps_per_epoch": 4,
    "columns": ["lr", "loss"],
    "attempt": 0,
    "checkpoint_step": 0,
    "parent": None,
    "best": None,
    "verified_rows": 0,
    "worker": None,
    "result": None,
    "digest": None,
    "artifacts": [],
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": None,
    "ended_at": None,
    "spec": {},
}
"""A job as the service returns it."""
PLAN: dict[str, Any] = {
    "spec": {},
    "total_steps": 4,
    "steps_per_epoch": 4,
    "num_parameters": 1,
    "layers": [],
    "groups": [],
    "lr": {
        "first": 0,
        "peak": 1,
        "peak_step": 0,
        "last": 0,
        "lowest": 0,
        "area": 1,
        "warmup_share": 0,
    },
    "warnings": ["lr never reaches its end of 0"],
}
"""The answer to a job that is validated."""

Step = Callable[[BaseHTTPRequestHandler], None]


def answers(
    status: int, body: object = b"", kind: str = "application/json", **headers: str
) -> Step:
    """Answer with *status* and *body*: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def step(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    return step


def streams(*parts: str | threading.Event) -> Step:
    """Answer with a stream of events that ends after *parts*; an event among them is awaited."""

    def step(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        for part in parts:
            if isinstance(part, str):
                request.wfile.write(part.encode())
                request.wfile.flush()
            else:
                part.wait(10)

    return step


def hangs_up(request: BaseHTTPRequestHandler) -> None:
    """Close the connection without an answer."""
    request.connection.shutdown(socket.SHUT_RDWR)


def waits_for(event: threading.Event) -> Step:
    """Answer nothing until *event*, then hang up."""

    def step(request: BaseHTTPRequestHandler) -> None:
        event.wait(10)
        hangs_up(request)

    return step


def away(detail: str = "the store does not answer") -> Step:
    """Answer as the service does when its store is away."""
    problem = {"title": "Away", "status": 503, "detail": detail, "code": "store_unavailable"}
    return answers(503, problem, "application/problem+json")


def rows(*steps: int, truncations: int = 0) -> str:
    """Return the event that tells of *steps*, after so many *truncations*."""
    data = {"columns": ["step", "lr", "loss"], "rows": [[step, 0.1, 1.0] for step in steps]}
    event_id = f"{steps[-1]}.{truncations}" if truncations else str(steps[-1])
    return f"event: rows\ndata: {json.dumps(data)}\nid: {event_id}\n\n"


def truncated(step: int, truncations: int = 1) -> str:
    """Return the event that tells that steps from *step* on will come anew."""
    return f"event: truncated\ndata: {json.dumps({'step': step})}\nid: {step - 1}.{truncations}\n\n"


def state(name: str) -> str:
    """Return the event that tells of a state."""
    return f"event: state\ndata: {json.dumps({'state': name, 'attempt': 1})}\n\n"


def end(count: int) -> str:
    """Return the event that tells of the end of a job of *count* steps."""
    data = {"state": "succeeded", "reason": None, "detail": None, "rows": count, "digest": "d"}
    return f"event: end\ndata: {json.dumps(data)}\n\n"


class Scripted:
    """
    A server that follows a script; once through, it repeats the last step.

    Attributes:
        url: where it listens.
        requests: what it was asked: method, path, headers, body.
    """

    def __init__(self, *script: Step) -> None:
        waiting = list(script)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        lock = threading.Lock()
        seen = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    seen.append((self.command, self.path, dict(self.headers), body))
                    step = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                step(self)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def headers(self, name: str) -> list[str | None]:
        """Return the header *name* of every request."""
        return [headers.get(name) for _, _, headers, _ in self.requests]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
