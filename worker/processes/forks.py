"""The fork server and what it forks, as their worker sees them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from worker.processes.forkserver import MESSAGE_BYTES

ANSWER_S = 10.0
"""Seconds that a server gets to answer before it is killed. Its imports do not count: its first
fork has written a line before it is asked anything."""
POLL_S = 0.01
"""Seconds between two questions whether a process has ended."""


class ServerDied(Exception):
    """The fork server has ended, and its forks with it: the kernel ends them together."""


class ForkServer:
    """
    A process that has imported what training needs, and forks trainers.

    Start it from the worker's main thread: the kernel ends it when that thread ends.

    Args:
        module: with the `main` that a fork runs.
        environment: of the process and of its forks.
        answer_s: seconds that it gets to answer before it is killed.
    """

    def __init__(
        self, module: str, environment: Mapping[str, str], *, answer_s: float = ANSWER_S
    ) -> None:
        # SOCK_SEQPACKET keeps messages apart, as datagrams do, and says that the other end was
        # closed, as a stream does.
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(answer_s)
        self._sent = 0
        command = [
            sys.executable,
            # Without it `-m` puts the working directory first in sys.path: a file there could be
            # imported in place of a module.
            "-P",
            "-m",
            "worker.processes.forkserver",
            module,
            str(its.fileno()),
        ]
        # The server has a copy. With this one open too, its death would not show as the end of the
        # file.
        with its:
            self._process = subprocess.Popen(
                [*command, str(os.getpid())],
                pass_fds=(its.fileno(),),
                # Ctrl-C in a terminal goes to its foreground group: to the worker, not to trainers.
                process_group=0,
                env=dict(environment),
            )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, request: dict[str, Any], *descriptors: int) -> int:
        """Send a request; return its number."""
        self._sent += 1
        message = json.dumps({"number": self._sent, **request}).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `receive` raises
            socket.send_fds(self._socket, [message], descriptors)
        return self._sent

    def receive(self, number: int) -> dict[str, Any]:
        """
        Wait for the answer to the request of that number.

        Raises:
            ServerDied: there will be no answer.
        """
        while True:
            try:
                message = self._socket.recv(MESSAGE_BYTES)
            except (ConnectionResetError, TimeoutError):
                message = b""
            if not message:
                # SIGKILL also ends a server that was stopped. Its forks end with it, so nothing
                # trains any more.
                self.kill()
                self._process.wait()
                raise ServerDied
            answer: dict[str, Any] = json.loads(message)
            # Other answers belong to requests that a signal handler's exception interrupted.
            if answer["number"] == number:
                return answer

    def kill(self) -> None:
        """End the process, and its forks with it; safe in a signal handler."""
        self._process.kill()

    def close(self) -> None:
        """End the process and wait until it has ended."""
        self.kill()
        self._process.wait()
        self._socket.close()


class Fork:
    """
    A process that is forked from a server.

    Args:
        server: that forks it.
        device: of the trainer that it is to be.
        descriptors: that it reads from and writes to.
    """

    def __init__(self, server: ForkServer, device: str, descriptors: tuple[int, int]) -> None:
        self._server = server
        self._pid = 0
        self._code: int | None = None
        self._lost = False
        self._number = server.send({"fork": device}, *descriptors)

    @property
    def pid(self) -> int:
        """
        The id of the process. Waits for the fork, so ask once the process has written something.

        Raises:
            ServerDied: the server ended, before the fork or after it.
        """
        if not self._pid:
            self._pid = int(self._server.receive(self._number)["pid"])
        return self._pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        if self._code is None and not self._lost:
            try:
                # Only its parent can tell: to anybody else a process that was not waited for still
                # exists, and afterwards its number may be another's.
                number = self._server.send({"poll": self.pid})
                self._code = self._server.receive(number)["code"]
            except ServerDied:
                self._lost = True
        return self._code is not None or self._lost

    def wait(self, within_s: float) -> bool:
        """Return whether it has ended within so many seconds."""
        deadline = time.monotonic() + within_s
        while not self.ended:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not ended; safe in a signal handler, once its id is known."""
        # The server waits for a fork only when it is asked, so until its answer the number is no
        # other process's. It is not asked here: in a signal handler, a question may be under way
        # already.
        if self._pid and self._code is None and self._server.alive:
            with contextlib.suppress(ProcessLookupError):  # it just ended with its server
                os.kill(self._pid, number)

    def __str__(self) -> str:
        """Return its name, and how it ended if it has."""
        name = f"trainer {self._pid}" if self._pid else "trainer"
        if self._lost:
            return f"{name} ended with the process that it is forked from"
        if self._code is None:
            return name
        code = self._code
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{name} ended with {how}"
