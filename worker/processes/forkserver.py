"""
The fork server: ``python -m worker.processes.forkserver MODULE SOCKET PARENT``.

It imports all that training needs, which takes seconds, and forks a trainer whenever its worker
wants one, which takes milliseconds. It computes nothing itself: the threads of torch, and what it
holds of a GPU, would not be there after a fork.

Each request on the socket is one JSON object, and so is each answer, which has its `number`:

``{"number": N, "fork": DEVICE}`` with two descriptors
    Fork a trainer, which hears on the first and speaks on the second: ``{"pid": PID}``.
``{"number": N, "look": PID}``
    ``{"code": CODE}``: null while it runs, then its exit code, negative for a signal.
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
"""No message is longer."""
TRAINER = "worker.processes.trainer"


def main() -> None:
    """Serve the worker until it closes the socket; in a fork, be a trainer."""
    module, handle, parent = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    die_with_parent(signal.SIGKILL, parent)
    for number in (signal.SIGTERM, signal.SIGINT):  # whoever sends them to all means the others
        signal.signal(number, signal.SIG_IGN)
    for name in (TRAINER, module):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collector that looks at what is shared would copy it
    with socket.socket(fileno=handle) as worker:
        forked = _serve(worker)
    if forked is not None:
        importlib.import_module(module).main(*forked)


def _serve(worker: socket.socket) -> tuple[str, int, int] | None:
    """Do what *worker* asks for; return, in a fork, what its trainer is to begin with."""
    codes: dict[int, int] = {}
    while True:
        message, descriptors, _, _ = socket.recv_fds(worker, MESSAGE_BYTES, 2)
        if not message:
            return None
        request = json.loads(message)
        if "look" in request:
            answer = {"code": _code(request["look"], codes)}
        else:
            server, pid = os.getpid(), os.fork()
            if not pid:
                os.setpgid(0, 0)
                die_with_parent(signal.SIGKILL, server)
                hears, says = descriptors
                return request["fork"], hears, says
            for descriptor in descriptors:
                os.close(descriptor)
            answer = {"pid": pid}
        worker.send(json.dumps({"number": request["number"], **answer}).encode())


def _code(pid: int, codes: dict[int, int]) -> int | None:
    """Return how a child ended, if it has; *codes* are those of all that have."""
    if pid not in codes:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes[pid] = os.waitstatus_to_exitcode(status)
    return codes.get(pid)


if __name__ == "__main__":
    main()
