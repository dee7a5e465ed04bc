"""
Ends a process together with the process that started it.

    python -m worker.processes.tether SIGNAL PARENT COMMAND ARG...

COMMAND runs in place of this process. PARENT is the process id of the parent. The kernel sends
SIGNAL to COMMAND when the thread of the parent that started this process ends, even if SIGKILL ends
the parent. On systems other than Linux, no signal is sent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """
    Ask the kernel to send a signal to this process when the thread that started it ends.

    Args:
        number: the signal to send.
        parent: the process id of the parent; if the parent is gone already, this process exits.
    """
    if not sys.platform.startswith("linux"):
        return
    # The setting survives exec and is cleared by fork. It concerns the thread that forked, not the
    # whole process: a parent must start tethered processes from a thread that lasts.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # Checked after the call: if the parent had ended before it, no signal would ever be sent.
    if os.getppid() != parent:
        sys.exit(f"the process that started process {os.getpid()} has ended")


def main() -> None:
    """Tether this process to its parent, then replace it with the command."""
    name, parent, *command = sys.argv[1:]
    die_with_parent(signal.Signals[name], int(parent))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
