"""
Whether a worker is well, over HTTP, for who watches over its process.

``GET /healthz`` is 200 while the process answers; ``GET /readyz`` is 200 while it takes jobs, and
503, with the reason, while it has not begun, while its machine is not fit to train on, and when it
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
SILENT_S = 5.0
"""Seconds that a client may take to say what it wants."""


def serve(host: str, port: int, why_not: Callable[[], str]) -> ThreadingHTTPServer:
    """
    Answer in threads of their own, until the process ends; return the server.

    Args:
        host: address to listen on.
        port: 0 for any free one.
        why_not: returns why no jobs are taken, or ''.

    Raises:
        OSError: nothing can listen there.
    """

    class Answer(BaseHTTPRequestHandler):
        timeout = SILENT_S

        def do_GET(self) -> None:
            match self.path:
                case "/readyz" if why := why_not():
                    self._problem(503, "The worker takes no jobs", why, NOT_READY)
                case "/healthz" | "/readyz":
                    self._say(HTTPStatus.OK, json.dumps({"status": "ok"}))
                case _:
                    what = f"{self.path[:80]} does not exist; /healthz and /readyz do"
                    self._problem(404, "Not Found", what, "not_found")

        def _problem(self, status: int, title: str, detail: str, code: str) -> None:
            problem = Problem(title=title, status=status, detail=detail, code=code)
            self._say(status, problem.model_dump_json(), "application/problem+json")

        def _say(self, status: int, text: str, kind: str = "application/json") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: it is asked every few seconds."""

    server = ThreadingHTTPServer((host, port), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="ready", daemon=True).start()
    return server
