"""A TCP proxy on loopback that cuts its connections after so many bytes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class CuttingProxy:
    """
    Forwards to a port, and cuts each connection after the server has sent *limit* bytes.

    Attributes:
        port: where it listens.
        cuts: connections cut so far.
    """

    def __init__(self, target_port: int, *, limit: int) -> None:
        self._target_port, self._limit = target_port, limit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target_port))
                threading.Thread(target=_pump, args=(client, server), daemon=True).start()
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        left = self._limit
        with suppress(OSError):
            while left > 0 and (data := server.recv(4096)):
                client.sendall(data[:left])
                left -= len(data)
        if left <= 0:
            self.cuts += 1
        for end in (server, client):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
