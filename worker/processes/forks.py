"""The worker's side of the fork server and of the trainer processes that it forks."""

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
"""Seconds to wait for an answer from the server before it is killed. The time for its imports does
not count: no answer is awaited before the first trainer has written a line."""
POLL_S = 0.01
"""Seconds between two checks whether a process has ended."""


class ServerDied(Exception):
    """The fork server has ended, and with it the processes that it forked."""


class ForkServer:
    """
    A child process that has imported all that training needs, and forks trainers.

    Start the server from the worker's main thread: the kernel ends it when that thread ends.

    Args:
        module: the name of the module whose `main` a forked process runs.
        environment: the environment variables of the process and of those that it forks.
        answer_s: seconds to wait for an answer before the process is killed.
    """

    def __init__(
        self, module: str, environment: Mapping[str, str], *, answer_s: float = ANSWER_S
    ) -> None:
        # SOCK_SEQPACKET keeps messages separate, like datagrams, and reports that the other end was
        # closed, like a stream.
        self._socket, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(answer_s)
        self._sent = 0
        command = [
            sys.executable,
            # Without -P, -m puts the working directory first in sys.path: a file there could be
            # imported in place of a module.
            "-P",
            "-m",
            "worker.processes.forkserver",
            module,
            str(its.fileno()),
        ]
        # The server has a copy of its end. If this one stayed open too, the death of the server
        # would not appear as the end of the connection.
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
        """Whether the process is running."""
        return self._process.poll() is None

    def send(self, request: dict[str, Any], *descriptors: int) -> int:
        """Send a request to the server, with file descriptors; return the request's number."""
        self._sent += 1
        message = json.dumps({"number": self._sent, **request}).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # `receive` raises
            socket.send_fds(self._socket, [message], descriptors)
        return self._sent

    def receive(self, number: int) -> dict[str, Any]:
        """
        Wait for the answer to request *number* and return it.

        Raises:
            ServerDied: the server has ended, or was killed because it did not answer in time.
        """
        while True:
            try:
                message = self._socket.recv(MESSAGE_BYTES)
            except (ConnectionResetError, TimeoutError):
                message = b""
            if not message:
                # SIGKILL also ends a server that is suspended. Its forks end with it, so nothing
                # trains any more.
                self.kill()
                self._process.wait()
                raise ServerDied
            answer: dict[str, Any] = json.loads(message)
            # An answer with another number is for a request whose wait an exception from a signal
            # handler interrupted.
            if answer["number"] == number:
                return answer

    def kill(self) -> None:
        """Kill the process and its forks. Safe to call from a signal handler."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, wait until it has ended, and close the socket."""
        self.kill()
        self._process.wait()
        self._socket.close()


class Fork:
    """
    A trainer process, forked by the fork server.

    Args:
        server: the server that forks the process.
        device: the device to train on: cpu or cuda.
        descriptors: the file descriptors that the process reads from and writes to.
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
        The process id. If the id is not known yet, reading it waits for the server's answer.

        Do not read the id before the process has written something: until then, the server may be
        importing modules for seconds, and would count as hung.

        Raises:
            ServerDied: the server has ended.
        """
        if not self._pid:
            self._pid = int(self._server.receive(self._number)["pid"])
        return self._pid

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        if self._code is None and not self._lost:
            try:
                # Only the parent can tell: for other processes, a process that was not waited for
                # still exists, and after that its id may be another's.
                number = self._server.send({"poll": self.pid})
                self._code = self._server.receive(number)["code"]
            except ServerDied:
                self._lost = True
        return self._code is not None or self._lost

    def wait(self, within_s: float) -> bool:
        """Wait up to *within_s* seconds for the process to end; return whether it has."""
        deadline = time.monotonic() + within_s
        while not self.ended:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def signal(self, number: signal.Signals) -> None:
        """
        Send the signal *number* to the process, if the process is running and its id is known.

        Safe to call from a signal handler.
        """
        # The server reaps a fork only when it is polled, so until a poll has returned the exit code
        # the id is no other process's. No poll is made here: if this is a signal handler, another
        # request may be waiting for its answer.
        if self._pid and self._code is None and self._server.alive:
            with contextlib.suppress(ProcessLookupError):  # it has just ended with its server
                os.kill(self._pid, number)

    def __str__(self) -> str:
        """Return a description: the trainer's process id, and how it ended if it has."""
        name = f"trainer {self._pid}" if self._pid else "trainer"
        if self._lost:
            return f"{name} ended together with its fork server"
        if self._code is None:
            return name
        code = self._code
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{name} ended with {how}"
