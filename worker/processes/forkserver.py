"""
The fork server: ``python -m worker.processes.forkserver MODULE SOCKET PARENT``.

It imports all that training needs, which takes seconds, and forks a trainer whenever its worker
asks for one, which takes milliseconds. It computes nothing itself: torch's threads and its state of
a GPU do not survive a fork.

Each request on the socket is a JSON object, and so is its answer, which has the same `number`:

``{"number": N, "fork": DEVICE}`` with two descriptors
    Fork a trainer that reads from the first and writes to the second: ``{"pid": PID}``.
``{"number": N, "poll": PID}``
    ``{"code": CODE}``: null while the fork runs, then its exit code, negative for a signal.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys

from worker.processes.tether import die_with_parent

MESSAGE_BYTES = 4096
"""Most bytes of a message."""
TRAINER = "worker.processes.trainer"


def main() -> None:
    """Serve the worker until it closes the socket; in a fork, be a trainer."""
    module, handle, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    # Before the imports, which take seconds: a worker that dies meanwhile leaves nothing behind.
    die_with_parent(signal.SIGKILL, parent)
    for number in (signal.SIGTERM, signal.SIGINT):  # a signal to all is for the trainers
        signal.signal(number, signal.SIG_IGN)
    for name in (TRAINER, module):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection writes to every object, so each fork would copy the shared pages
    # A fork leaves this block as well, and so closes its copy: else the worker would not see the
    # end of the server while a trainer lives.
    with socket.socket(fileno=handle) as worker:
        forked = _serve(worker)
    if forked is not None:
        importlib.import_module(module).main(*forked)


def _serve(worker: socket.socket) -> tuple[str, int, int] | None:
    """Answer the requests of *worker*; in a fork, return the arguments of its trainer."""
    codes: dict[int, int] = {}
    while True:
        message, descriptors, _, _ = socket.recv_fds(worker, MESSAGE_BYTES, 2)
        if not message:
            return None
        request = json.loads(message)
        if "poll" in request:
            answer = {"code": _code(request["poll"], codes)}
        else:
            server, pid = os.getpid(), os.fork()
            if not pid:
                os.setpgid(0, 0)
                # The setting is cleared by a fork.
                die_with_parent(signal.SIGKILL, server)
                reads, writes = descriptors
                return request["fork"], reads, writes
            # A copy that stayed open here, and in every later fork, would hide the end of this
            # trainer.
            for descriptor in descriptors:
                os.close(descriptor)
            answer = {"pid": pid}
        worker.send(json.dumps({"number": request["number"], **answer}).encode())


def _code(pid: int, codes: dict[int, int]) -> int | None:
    """Return the exit code of a child that has ended, else None; *codes* remembers them."""
    if pid not in codes:
        # A second wait would fail, so the code is kept: an answer is lost where a signal interrupts
        # the worker that asked. Until this wait the number is not given to another process.
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


if __name__ == "__main__":
    main()
