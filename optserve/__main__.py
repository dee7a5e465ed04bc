"""
The `optserve` command: ``python -m optserve``.

What it needs takes a second to import. Ctrl-C ends the process meanwhile without a word, and where
no command runs that could end in order; it would be a traceback from somewhere in an import.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C has ended: 128 and the number of the signal."""


def _leave(number: int, frame: FrameType | None) -> None:
    del number, frame
    os._exit(INTERRUPTED)


# Now, not in `main`: whoever calls it has imported this module first. A shell starts what runs in
# the background with the signal ignored, and that stays so.
HEEDED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if HEEDED:
    signal.signal(signal.SIGINT, _leave)


def main() -> None:
    """Run the command."""
    from optserve.cli import main as command  # noqa: PLC0415  see above

    try:
        if HEEDED:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if HEEDED:
            signal.signal(signal.SIGINT, _leave)  # the interpreter takes a while to end, too


if __name__ == "__main__":
    main()
