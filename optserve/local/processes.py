"""
Child processes that are restarted when they die, and that never outlive this process.

Start the children from the main thread. The kernel ends a child by a signal when the thread that
started the child ends, not when the whole process ends.
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
"""Minimum seconds between two starts of a child that keeps dying."""


def python(module: str) -> list[str]:
    """Return the command that runs *module*, without importing files from the working directory."""
    return [sys.executable, "-P", "-m", module]


class Child:
    """
    A child process that ends when this process ends; `supervise` restarts it if it dies earlier.

    Attributes:
        name: what messages in the log call the child.
        deaths: number of times that `supervise` found the child dead.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        environment: Mapping[str, str] | None = None,
        inherited_fds: Sequence[int] = (),
        death_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """
        Start the child.

        Args:
            name: what messages in the log call the child.
            command: the command that the child runs.
            log_file: file to which standard output and standard error are appended.
            environment: variables in addition to those of this process.
            inherited_fds: file descriptors that the child keeps open as long as it runs.
            death_signal: signal that the child gets when this process dies.
        """
        self.name = name
        self._command = command
        # A copy: a restart must get the same variables as the first start. PYTHONSAFEPATH does
        # for the child's own children what -P does for the child.
        self._environment = {**os.environ, **(environment or {}), "PYTHONSAFEPATH": "1"}
        self._log_file, self._inherited_fds = log_file, inherited_fds
        self._death_signal = death_signal
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        self._started_at, self._reported = time.monotonic(), False
        # Before the process starts, so that `log_lines` has all of its lines and no older ones.
        self._log_start = _size(self._log_file)
        self._process = self._popen()

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process, negative for a signal; None while the process runs."""
        return self._process.poll()

    def supervise(self) -> None:
        """Restart the process if it has died, at most once a second (`RESTART_S`)."""
        code = self.exit_code
        if code is None:
            return
        if not self._reported:
            self._reported = True
            self.deaths += 1
            log.warning(
                "%s ended with exit code %s; its log is %s", self.name, code, self._log_file
            )
        # A child that dies at once would otherwise be started in each round of `supervise`.
        if time.monotonic() - self._started_at > RESTART_S:
            self._start()

    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.exit_code is None

    def terminate(self) -> None:
        """Send SIGTERM."""
        if self.alive():
            self._process.terminate()

    def join(self, timeout_s: float) -> None:
        """Wait for the process to end; kill it if that takes longer than *timeout_s*."""
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s did not end in %g s and was killed", self.name, timeout_s)
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL and wait for the process to end."""
        self._process.kill()
        self._process.wait()

    def log_tail(self, lines: int = 10) -> str:
        """Return the last *lines* lines of the child's log."""
        return "\n".join(_text(self._log_file).splitlines()[-lines:])

    def log_lines(self) -> list[str]:
        """Return the lines of the child's log since its last start, without empty lines."""
        return [line for line in _text(self._log_file, self._log_start).splitlines() if line]

    def _popen(self) -> subprocess.Popen[bytes]:
        # With the id of this process: if this process dies before the signal is set, the kernel
        # sends none, and the child ends by itself when it sees that its parent is another process.
        tether = [*python("worker.processes.tether"), self._death_signal.name, str(os.getpid())]
        with self._log_file.open("ab") as output:
            return subprocess.Popen(
                [*tether, *self._command],
                env=self._environment,
                pass_fds=self._inherited_fds,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                # A group of its own: Ctrl-C reaches only this process, which stops its children in
                # order.
                process_group=0,
            )


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _text(file: Path, start: int = 0) -> str:
    """Return the content of *file* from byte *start* on; empty if the file is missing."""
    if not file.exists():
        return ""
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read().decode(errors="replace")
