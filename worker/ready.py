"""
Liveness and readiness of a worker over HTTP, for process supervisors.

``GET /healthz`` returns 200 while the process is running. ``GET /readyz`` returns 200 while the
worker takes jobs, and 503 with the reason while the worker is starting or stopping, or its machine
cannot train.
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
"""Seconds that a client has to send its request."""


def serve(host: str, port: int, not_ready: Callable[[], str]) -> ThreadingHTTPServer:
    """
    Start an HTTP server in background threads and return it; it runs until the process ends.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 for any free port.
        not_ready: a function that returns why the worker takes no jobs, or ''.

    Raises:
        OSError: the server cannot listen on this address and port.
    """

    class Answer(BaseHTTPRequestHandler):
        # The timeout of the socket: without it, a client that sends nothing would hold a thread
        # forever.
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
            """Log nothing: probes arrive every few seconds."""

    server = ThreadingHTTPServer((host, port), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="ready", daemon=True).start()
    return server
