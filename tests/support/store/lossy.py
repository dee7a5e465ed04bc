"""A network between a client and the store that loses requests and replies, delays and splits."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

KINDS = ("request lost", "reply lost", "delayed", "split")
LONGEST_S = 10.0


class LossyNetwork:
    """
    Forwards a Unix socket to another one; now and then something goes wrong with a message.

    Attributes:
        url: for clients.
        faults: how often each kind of trouble has happened.
    """

    def __init__(self, target: str, folder: Path, *, seed: int, rate: float) -> None:
        """
        Listen in *folder*.

        Args:
            target: the server's socket.
            folder: for the socket of this network.
            seed: of its troubles.
            rate: share of the messages that each kind of trouble befalls.
        """
        self._target, self._rate = target, rate
        self._draw, self._lock = random.Random(seed), threading.Lock()
        self.faults = dict.fromkeys(KINDS, 0)
        path = folder / "lossy.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.url = f"unix://{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """Pass requests and replies on, in turn: the clients here send one at a time."""
        with suppress(OSError), client, server:
            while request := client.recv(1 << 20):
                trouble = self._trouble()
                if trouble == "request lost":
                    return
                if trouble == "delayed":
                    time.sleep(self._delay_s())
                for part in self._parts(request, split=trouble == "split"):
                    server.sendall(part)
                self._pass_on_the_rest(client, server)
                reply = server.recv(1 << 20)
                if trouble == "reply lost":
                    return
                for part in self._parts(reply, split=trouble == "split"):
                    client.sendall(part)

    def _pass_on_the_rest(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what follows of a long request, which comes in parts, until it is answered."""
        while server not in select.select([client, server], [], [])[0]:
            if rest := client.recv(1 << 20):
                server.sendall(rest)
            else:
                raise ConnectionResetError

    def _delay_s(self) -> float:
        """Return up to ten seconds, seldom more than a moment."""
        with self._lock:
            return LONGEST_S * self._draw.random() ** 20

    def _trouble(self) -> str | None:
        with self._lock:
            number = int(self._draw.random() / self._rate)
            kind = KINDS[number] if number < len(KINDS) else None
            if kind is not None:
                self.faults[kind] += 1
            return kind

    def _parts(self, data: bytes, *, split: bool) -> list[bytes]:
        if not split:
            return [data]
        return [data[i : i + 7] for i in range(0, len(data), 7)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()
