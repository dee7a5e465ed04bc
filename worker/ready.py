"""
Liveness and readiness of a worker over HTTP, for process supervisors.

``GET /healthz`` is 200 while the process answers. ``GET /readyz`` is 200 while the worker takes
jobs, and 503 with the reason before it has begun, while its machine cannot train, and when it
leaves.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from optserve.contract.answers.problems import Problem

NOT_READY = "worker_not_ready"
REQUEST_S = 5.0
"""Seconds that a client may take to send its request."""


def serve(host: str, port: int, not_ready: Callable[[], str]) -> ThreadingHTTPServer:
    """
    Answer requests in background threads, until the process ends; return the server.

    Args:
        host: address to listen on.
        port: 0 for any free one.
        not_ready: returns why the worker takes no jobs, or ''.

    Raises:
        OSError: the address cannot be listened on.
    """

    class Answer(BaseHTTPRequestHandler):
        # Of the socket: without it, a client that sends nothing would hold a thread for good.
        timeout = REQUEST_S

        def do_GET(self) -> None:
            match self.path:
                case "/readyz" if why := not_ready():
                    self._problem(503, "The worker takes no jobs", why, NOT_READY)
                case "/healthz" | "/readyz":
                    self._send(HTTPStatus.OK, json.dumps({"status": "ok"}))
                case _:
                    what = f"{self.path[:80]} does not exist; /healthz and /readyz do"
                    self._problem(404, "Not Found", what, "not_found")

        def _problem(self, status: int, title: str, detail: str, code: str) -> None:
            problem = Problem(title=title, status=status, detail=detail, code=code)
            self._send(status, problem.model_dump_json(), "application/problem+json")

        def _send(self, status: int, text: str, kind: str = "application/json") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing: a probe comes every few seconds."""

    server = ThreadingHTTPServer((host, port), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="ready", daemon=True).start()
    return server
