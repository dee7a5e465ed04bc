"""
Entry point of the `optserve` command, which is also ``python -m optserve``.

The imports of the command take about a second. Ctrl-C during the imports, or after the command has
finished, ends the process without printing a traceback.
"""

from __future__ import annotations

import signal
import sys

from optserve.interrupts import INTERRUPTED, exit_at_once

# At import, not in `main`: the console script imports this module before it calls `main`. A shell
# starts background commands with SIGINT ignored; in that case it stays ignored.
HANDLED = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if HANDLED:
    signal.signal(signal.SIGINT, exit_at_once)


def main() -> None:
    """Run the `optserve` command; on Ctrl-C, exit with code 130 (`INTERRUPTED`)."""
    from optserve.cli import main as command  # noqa: PLC0415  see above

    try:
        if HANDLED:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        command.main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        if HANDLED:
            signal.signal(signal.SIGINT, exit_at_once)  # the interpreter takes a while to end


if __name__ == "__main__":
    main()
