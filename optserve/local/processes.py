"""
Processes that this one watches over and that never outlive it.

They are started from the main thread: the kernel ends them when the thread that started them ends.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

log = logging.getLogger(__name__)

RESTART_S = 1.0
"""Seconds between two starts of a process that keeps dying."""


def python(module: str) -> list[str]:
    """Return the command that runs *module*, whatever files lie in the working directory."""
    return [sys.executable, "-P", "-m", module]


class Child:
    """
    A process that ends when this one does, and is started again whenever it dies before.

    Attributes:
        name: for the log.
        deaths: how often `look_after` found it dead.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        environment: Mapping[str, str] | None = None,
        holds: Sequence[int] = (),
        parting: signal.Signals = signal.SIGTERM,
    ) -> None:
        """
        Start it.

        Args:
            name: for the log.
            command: what to run.
            log_file: gets what it writes.
            environment: variables on top of those of this process.
            holds: descriptors that it keeps open for as long as it lives.
            parting: the signal it gets when this process is killed outright.
        """
        self.name = name
        self._command = command
        # As it is now, for every start. What they start in turn must not see the working
        # directory either.
        self._environment = {**os.environ, **(environment or {}), "PYTHONSAFEPATH": "1"}
        self._log_file, self._holds, self._parting = log_file, holds, parting
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        self._started_at, self._told = time.monotonic(), False
        self._log_begins = _size(self._log_file)
        self._process = self._popen()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended: negative for a signal; None while it runs."""
        return self._process.poll()

    def look_after(self) -> None:
        """Start the process again if it has died; one that keeps dying, now and then."""
        code = self.exit_code
        if code is None:
            return
        if not self._told:
            self._told = True
            self.deaths += 1
            log.warning("%s ended with %s; its log is %s", self.name, code, self._log_file)
        if time.monotonic() - self._started_at > RESTART_S:
            self._start()

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.exit_code is None

    def ask_to_leave(self) -> None:
        """Send SIGTERM."""
        if self.alive():
            self._process.terminate()

    def leave(self, timeout_s: float) -> None:
        """Wait for the process to end, and end it if it does not."""
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s would not leave and was killed", self.name)
            self.kill()

    def kill(self) -> None:
        """End the process as a crash would."""
        self._process.kill()
        self._process.wait()

    def tail(self, lines: int = 10) -> str:
        """Return the end of its log."""
        return "\n".join(_text(self._log_file).splitlines()[-lines:])

    def said(self) -> list[str]:
        """Return the lines that it has written since it was last started."""
        return [line for line in _text(self._log_file, self._log_begins).splitlines() if line]

    def _popen(self) -> subprocess.Popen[bytes]:
        tether = [*python("worker.processes.tether"), self._parting.name, str(os.getpid())]
        with self._log_file.open("ab") as output:
            return subprocess.Popen(
                [*tether, *self._command],
                env=self._environment,
                pass_fds=self._holds,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for this process, which ends its children in order
            )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _text(file: Path, begin: int = 0) -> str:
    """Return what *file* holds from byte *begin* on; nothing if it is not there."""
    if not file.exists():
        return ""
    with file.open("rb") as opened:
        opened.seek(begin)
        return opened.read().decode(errors="replace")
