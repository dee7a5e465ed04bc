"""
Processes that end with the one that started them.

    python -m worker.processes.tether SIGNAL PARENT COMMAND ARG...

becomes COMMAND, which gets SIGNAL when the thread of PARENT that started it ends, also by SIGKILL.
(Linux only; elsewhere COMMAND runs untethered.)
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """
    Ask the kernel to send *number* to this process when its parent thread ends.

    Args:
        number: the signal.
        parent: process id of the parent; if it is gone already, this process ends at once.
    """
    if not sys.platform.startswith("linux"):
        return
    # The setting survives exec and is cleared by fork. It is about the thread that forked, not its
    # process: a parent must start what it tethers from a thread that lasts.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # After the call, since the parent may have ended before it: then no signal ever comes.
    if os.getppid() != parent:
        sys.exit(f"the process that started {os.getpid()} is gone")


def main() -> None:
    """Tether this process, then become the command."""
    name, parent, *command = sys.argv[1:]
    die_with_parent(signal.Signals[name], int(parent))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
