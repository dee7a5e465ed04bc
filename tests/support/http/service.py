"""An API process as its clients see it, and how long its event loop leaves others unanswered."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PAUSE_S = 0.002
"""Seconds between two questions whether it is well."""
ANSWER_S = 120.0
QUESTION = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Answer:
    """
    What came back, and what it cost.

    Attributes:
        status: of HTTP.
        text: the body.
        blocked_s: for how long, at most, the process left another question unanswered: seconds in
            which it computed. Where the machine did something else meanwhile, that does not count.
        cpu_s: seconds that it computed, in all its threads.
    """

    status: int
    text: bytes
    blocked_s: float
    cpu_s: float


class Service:
    """
    A running API process.

    Args:
        url: of it.
        pid: of it.
    """

    def __init__(self, url: str, pid: int) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._address = parts.hostname, parts.port
        self._pid = pid
        self._worst_s = 0.0
        self._leaving = threading.Event()
        self._asking = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        self._asking.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving.set()
        self._asking.join()

    def post(self, path: str, body: bytes | None, **headers: str) -> Answer:
        """Post *body* and return the answer."""
        return self._request("POST", path, body, headers)

    def get(self, path: str) -> Answer:
        """Return what lies at *path*."""
        return self._request("GET", path, None, {})

    def beside(self, ask: Callable[[], Answer], path: str, body: bytes, *, times: int) -> Answer:
        """Return what *ask* does while *body* is posted to *path* so many times at once."""
        posting = [
            threading.Thread(target=self._send, args=("POST", path, body, {})) for _ in range(times)
        ]
        for thread in posting:
            thread.start()
        try:
            return ask()
        finally:
            for thread in posting:
                thread.join()

    def _request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Answer:
        self._worst_s, before = 0.0, self._cpu_s()
        status, text = self._send(method, path, body, headers)
        return Answer(status, text, self._worst_s, self._cpu_s() - before)

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_S)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _ask(self) -> None:
        with socket.create_connection(self._address) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._leaving.wait(PAUSE_S):
                computed, start = self._cpu_s(), time.perf_counter()
                line.sendall(QUESTION)
                answer = b""
                while not answer.endswith(b'{"status":"ok"}'):
                    part = line.recv(4096)
                    if not part:
                        return
                    answer += part
                took_s = time.perf_counter() - start
                self._worst_s = max(self._worst_s, min(took_s, self._cpu_s() - computed))

    def _cpu_s(self) -> float:
        """Return how long the process has computed, all its threads together."""
        threads = Path(f"/proc/{self._pid}/task").iterdir()
        return sum(int(_read(each / "schedstat").split()[0]) for each in threads) / 1e9


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return "0"  # a thread that has ended meanwhile
